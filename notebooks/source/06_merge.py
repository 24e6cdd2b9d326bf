# %% [markdown] lang="en" tags=["question"]
# # 6 · Merge
#
# **Question: four adapters, one model. What is left of each task when all are merged, and does LoRI keep more than LoRA?**
#
# Merging adds the updates of several tasks: `dW = Σ w · dW_t`. There are other recipes as well; you will write three and compare five.
#
# **Exercises:** ★ one line · ★★ one idea and a line or two · ★★★ think on paper first. Each has two folded hints: the idea, then nearly the code.

# %% [markdown] lang="ja" tags=["question"]
# # 6 · マージ
#
# **問い：四つのアダプターを一つのモデルに。すべてをマージしたとき、各タスクはどれだけ残り、LoRI は LoRA より多く残すのでしょうか。**
#
# マージは、複数のタスクの更新を足します：`dW = Σ w · dW_t`。ほかの方法もあります。三つを自分で書き、五つを比べます。
#
# **演習：** ★ は一行、★★ は一工夫、★★★ はまず紙の上で考えるものです。どれにもヒントが二つ折りたたまれています。一つ目は考え方、二つ目はほぼコードです。

# %% lang="en"
LANGUAGE = "en"

# %% lang="ja"
LANGUAGE = "ja"

# %%
import torch

from lori_core import figures, load_task, merge, ready_made
from lori_core.lessons import checks
from lori_core.lessons.by_hand import dropped_by, elected_by, merged_by
from lori_core.lessons.controls import judge
from lori_core.lessons.showing import embedded_base, guessed, say, score, show

# %% [markdown] lang="en"
# ## Exercise 1: concatenate ★★
#
# The exact way, and the paper's: stack the factors, so that one adapter of rank 2r does what both did. Return `(A, B)` with B A = weight · B_s A_s + weight · B_t A_t.
#
# <details><summary>Hint 1: the idea</summary>
#
# Multiply the block matrices: (B_s beside B_t) times (A_s above A_t). What comes out? The weight has to come in once.
# </details>
#
# <details><summary>Hint 2: nearly the code</summary>
#
# `torch.cat([A_s, A_t])` stacks, `torch.cat([B_s, B_t], dim=1)` puts beside each other. `weight *` one of the two.
# </details>

# %% [markdown] lang="ja"
# ## 演習 1：連結 ★★
#
# 論文の方法で、誤差がありません。因子を積み重ね、rank 2r のアダプター一つで両方の働きをさせます。B A = weight · B_s A_s + weight · B_t A_t となる `(A, B)` を返してください。
#
# <details><summary>ヒント 1：考え方</summary>
#
# ブロック行列の積を考えます：（B_s と B_t を横に並べたもの）×（A_s と A_t を縦に並べたもの）。何になるでしょうか。マージ係数が入るのは一回だけです。
# </details>
#
# <details><summary>ヒント 2：ほぼコード</summary>
#
# `torch.cat([A_s, A_t])` は縦に、`torch.cat([B_s, B_t], dim=1)` は横に並べます。どちらか一方に `weight *` を付けます。
# </details>

# %% tags=["exercise"]
def concat(A_s, B_s, A_t, B_t, weight):
    A = torch.cat([A_s, A_t])  # solution
    B = weight * torch.cat([B_s, B_t], dim=1)  # solution
    return A, B

# %% tags=["check"]
checks.concat(concat, LANGUAGE)

# %% [markdown] lang="en"
# ## Exercise 2: TIES, the election ★★★
#
# TIES settles disagreements: for each entry the sign of the **sum** is elected, and the result is the mean of those updates **that have this sign**. `updates` has shape (tasks, entries). (TIES also trims small entries first; here it is the election only.)
#
# <details><summary>Hint 1: the idea</summary>
#
# First elect one sign for each entry, that of the sum. Then take the mean over those alone who have it. Where nobody has it, the divisor must not be zero.
# </details>
#
# <details><summary>Hint 2: nearly the code</summary>
#
# `agrees = updates.sign() == updates.sum(dim=0).sign()`, then `(updates * agrees).sum(dim=0)` over `agrees.sum(dim=0).clamp(min=1)`.
# </details>

# %% [markdown] lang="ja"
# ## 演習 2：TIES の投票 ★★★
#
# TIES は食い違いを投票で解消します。要素ごとに**和**の符号を選び、**その符号を持つ**更新だけの平均を結果とします。`updates` の形は (tasks, entries) です。（TIES は先に小さな要素を除きますが、ここでは投票だけを扱います）
#
# <details><summary>ヒント 1：考え方</summary>
#
# まず要素ごとに、和の符号を選びます。次に、その符号を持つものだけの平均を取ります。一つもない要素では、0 で割らないようにします。
# </details>
#
# <details><summary>ヒント 2：ほぼコード</summary>
#
# `agrees = updates.sign() == updates.sum(dim=0).sign()` とし、`(updates * agrees).sum(dim=0)` を `agrees.sum(dim=0).clamp(min=1)` で割ります。
# </details>

# %% tags=["exercise"]
def ties(updates):
    # solution
    agrees = updates.sign() == updates.sum(dim=0).sign()
    elected = (updates * agrees).sum(dim=0) / agrees.sum(dim=0).clamp(min=1)
    return elected
    # end

# %% tags=["check"]
checks.ties(ties, LANGUAGE)

# %% [markdown] lang="en"
# ## Exercise 3: DARE, drop and rescale ★★
#
# DARE drops entries of each update at random and makes the others larger, so that their sum stays the same on average. `dropped` is True where an entry goes, which is the share `drop` of them.
#
# <details><summary>Hint 1: the idea</summary>
#
# If half of the entries go, the others must be twice as large for the sum to stay the same on average. What if the share `drop` goes?
# </details>
#
# <details><summary>Hint 2: nearly the code</summary>
#
# `update * ~dropped` is zero where something is dropped. Divide it by the share that stays.
# </details>

# %% [markdown] lang="ja"
# ## 演習 3：DARE、除いて拡大する ★★
#
# DARE は、各更新の要素をランダムに除き、和が平均して変わらないように、残りを大きくします。`dropped` は除く要素で True になり、その割合が `drop` です。
#
# <details><summary>ヒント 1：考え方</summary>
#
# 半分を除くなら、和が平均して変わらないように、残りを二倍にします。割合 `drop` を除くときはどうでしょうか。
# </details>
#
# <details><summary>ヒント 2：ほぼコード</summary>
#
# `update * ~dropped` は、除いた要素が 0 になります。それを、残る割合で割ります。
# </details>

# %% tags=["exercise"]
def dare(update, dropped, drop):
    rescaled = update * ~dropped / (1 - drop)  # solution
    return rescaled

# %% tags=["check"]
checks.dare(dare, LANGUAGE)

# %% [markdown] lang="en" tags=["prediction"]
# ## Predict
#
# **What share of its mean score over the four tasks does LoRI-S keep when all four are merged, in percent?** (100: nothing is lost.)

# %% [markdown] lang="ja" tags=["prediction"]
# ## 予想
#
# **四つをマージしたとき、LoRI-S は四タスクの平均スコアの何パーセントを保つでしょうか。**（100 なら何も失われません）

# %%
guess = None

# %% [markdown] lang="en"
# ## One weight for all
#
# A larger weight makes each task's effect stronger, and its interference with the others as well. It is chosen on validation examples, never on the test, **for each method and each recipe**: a recipe at another one's weight is judged by the weight. The search goes up and down a wide grid until the best weight has a worse one on either side. What is merged and scored from here on comes from **your** `concat`, two adapters at a time, and later from **your** `ties` and `dare`.

# %% [markdown] lang="ja"
# ## 全タスク共通のマージ係数
#
# マージ係数を大きくすると、各タスクの効果は強まりますが、ほかのタスクへの干渉も強まります。マージ係数はテストではなく検証用の例で、**手法ごと、マージの方法ごとに**選びます。ほかの方法に合わせたマージ係数で比べると、方法ではなくマージ係数を比べることになるからです。広い範囲を上下に探し、最良のマージ係数の両隣がそれより悪くなるまで続けます。ここから先でマージして採点するのは、**あなたの** `concat`（アダプターを二つずつ）と、あとでは**あなたの** `ties` と `dare` が作ったものです。

# %%
base = embedded_base(LANGUAGE)
names = ("nlu", "math", "code", "safety")
tasks = [load_task(name) for name in names]
EXAMPLES = 32  # of each task's test


def merged(variant, weight, method="concat", **options):
    adapters = [ready_made(name, variant) for name in names]
    if method == "concat":
        return merged_by(concat, adapters, weight)
    if method == "ties":
        return elected_by(ties, adapters, weight, keep=0.2)
    if method == "dare":
        return dropped_by(dare, adapters, weight, drop=0.5)
    return merge(adapters, method, [weight] * len(adapters), "merged", **options)


def mean(scores):
    return sum(each.value for each in scores.values()) / len(scores)


def validation(adapter):
    return score(base, adapter, tasks, 16, "validation")


GRID = (0.05, 0.1, 0.2, 0.35, 0.6, 1.0, 1.6, 2.5)


def searched(variant, method="concat", **options):
    found, best = {}, GRID.index(0.2)
    while missing := [w for w in GRID[max(best - 1, 0) : best + 2] if w not in found]:
        found |= {w: validation(merged(variant, w, method, **options)) for w in missing}
        best = GRID.index(max(found, key=lambda w: mean(found[w])))
    return found


def means(found):
    return {w: mean(scores) for w, scores in found.items()}


variants = ("lora", "lori_d", "lori_s", "lori_d_shared")  # the last one is the control, see below
searches = {variant: searched(variant) for variant in variants}
weights = {variant: means(found) for variant, found in searches.items()}
show(figures.dial("weight", weights, LANGUAGE))

# %% [markdown] lang="en"
# A mean hides who pays. Change the weight of LoRI-S with the slider and watch the tasks: does each want the same one?

# %% [markdown] lang="ja"
# 平均では、どのタスクが割を食うのかが見えません。LoRI-S のマージ係数をスライダーで変えて、タスクごとの値を見てください。どのタスクにも、同じ係数がよいでしょうか。

# %%
def at_weight(w):
    return figures.compared_scores({"merged_lori_s": searches["lori_s"][w]}, LANGUAGE)


chosen_weight = max(weights["lori_s"], key=weights["lori_s"].get)
show(figures.slider("weight", {w: at_weight(w) for w in sorted(weights["lori_s"])}, chosen_weight, LANGUAGE))

# %%
best = {variant: max(by_weight, key=by_weight.get) for variant, by_weight in weights.items()}


def singly(variant):
    return {task.name: score(base, ready_made(task.name, variant), [task], EXAMPLES)[task.name] for task in tasks}


single, together = singly("lori_s"), score(base, merged("lori_s", best["lori_s"]), tasks, EXAMPLES)
guessed("kept_merged", guess, 100 * mean(together) / mean(single), LANGUAGE)

# %%
untaught = score(base, None, tasks, EXAMPLES)
show(figures.compared_scores({"base": untaught, "single": single, "merged_lori_s": together}, LANGUAGE))

# %% [markdown] lang="en" tags=["control"]
# ## Methods side by side, with a control that should lose
#
# LoRA, LoRI-D and LoRI-S, and the control: LoRI-D whose tasks **share one A**. Each is merged at its own best weight. If an A for each task is what keeps tasks apart, the control must lose.

# %% [markdown] lang="ja" tags=["control"]
# ## 手法の比較と、成績が落ちるはずの対照条件
#
# LoRA、LoRI-D、LoRI-S と、対照条件として、タスクが **A を共有する** LoRI-D を比べます。どれも、それぞれ最良のマージ係数でマージします。タスクごとの A がタスクを離しているのなら、対照条件は負けるはずです。

# %%
by_method = {"merged_lori_s": together}
for variant in ("lora", "lori_d", "lori_d_shared"):
    by_method[f"merged_{variant}"] = score(base, merged(variant, best[variant]), tasks, EXAMPLES)
own_A = judge(by_method["merged_lori_d"], by_method["merged_lori_d_shared"])
against_lora = judge(together, by_method["merged_lora"])
lost = {name: single[name].value - together[name].value for name in names}
most = max(lost, key=lost.get)
show(figures.compared_scores(by_method, LANGUAGE))

# %% lang="en" tags=["said"]
say(
    f"Alone and merged, LoRI-S differs most on {most}: {single[most].value:.2f} and {together[most].value:.2f}. "
    + f"{against_lora.said('LoRI-S, merged', 'LoRA, merged', LANGUAGE)} {own_A.said('an A for each task', 'one shared A', LANGUAGE)} "
    + {
        "shown": "The control loses, as it should if an A for each task is what helps.",
        "not_shown": "So it is not shown that an A for each task is what helps here; that a merge loses or keeps so much has to have other reasons, such as what each task feeds into the modules (notebook 7).",
        "opposite": "The control wins: here an A for each task does harm.",
    }[own_A.verdict]
    + f" {EXAMPLES} examples a task show large differences only; the README has three seeds and more examples."
)

# %% lang="ja" tags=["said"]
say(
    f"LoRI-S で、単独とマージ後の差が最も大きいのは {most} です（{single[most].value:.2f} と {together[most].value:.2f}）。"
    + f"{against_lora.said('マージした LoRI-S', 'マージした LoRA', LANGUAGE)}{own_A.said('タスクごとの A', '共有した A', LANGUAGE)}"
    + {
        "shown": "タスクごとの A が効いているのなら、対照条件はこのように負けるはずです。",
        "not_shown": "タスクごとの A が効いているとは、ここでは言えません。マージで失われる量や残る量には、各タスクがモジュールに何を入力するかなど、別の理由があるはずです（ノートブック 7）。",
        "opposite": "対照条件のほうが勝ちました。ここでは、タスクごとの A が害になっています。",
    }[own_A.verdict]
    + f"タスクごとに {EXAMPLES} 例では、大きな差しかわかりません。README には、三つのシードと、より多くの例での結果があります。"
)

# %% [markdown] lang="en"
# ## Other recipes
#
# The same four LoRI-S adapters, merged in five ways, each at the weight that validation chooses for it. TIES, with **your** election after trimming, takes a mean where the others take a sum; DARE drops half of the entries by **your** rule. `linear` is a second control: it adds the factors, As to As and Bs to Bs, and so brings in the cross terms of exercise 1.

# %% [markdown] lang="ja"
# ## ほかの方法
#
# 同じ四つの LoRI-S アダプターを、五つの方法でマージします。マージ係数は、方法ごとに検証データで選びます。TIES は、小さな要素を除いてから**あなたの**投票を使い、和ではなく平均を取ります。DARE は、**あなたの**規則で要素の半分を除きます。`linear` は二つ目の対照条件です。因子どうし（A と A、B と B）を足すので、演習 1 の交差項が入ります。

# %%
options = {"concat": {}, "task_arithmetic": {"rank": 64}, "ties": {}, "dare": {}, "linear": {}}
tried = {"concat": weights["lori_s"]}
tried |= {each: means(searched("lori_s", each, **options[each])) for each in options if each != "concat"}
show(figures.dial("weight", tried, LANGUAGE))

# %%
chosen = {recipe: max(by_weight, key=by_weight.get) for recipe, by_weight in tried.items()}
recipes = {recipe: merged("lori_s", chosen[recipe], recipe, **options[recipe]) for recipe in options}
by_recipe = {name: score(base, adapter, tasks, EXAMPLES) for name, adapter in recipes.items() if name != "concat"}
by_recipe = {"concat": together} | by_recipe
show(figures.compared_scores(by_recipe, LANGUAGE))

# %%
ranks = {name: max(each.rank for each in adapter.factors.values()) for name, adapter in recipes.items()}
errors = {name: round(a.record["merge"]["error"], 4) for name, a in recipes.items() if "merge" in a.record}
{"largest rank": ranks, "lost when written as factors": errors}

# %%
cross_terms = judge(by_recipe["concat"], by_recipe["linear"])
listed = [f"{each} {mean(scores):.2f} ({chosen[each]:g})" for each, scores in by_recipe.items()]
found = list(weights.values()) + list(tried.values())
at_edge = sum(max(each, key=each.get) in (GRID[0], GRID[-1]) for each in found)

# %% lang="en" tags=["said"]
say(
    f"Mean score, and the weight that validation chose: {', '.join(listed)}. {cross_terms.said('concat', 'linear', LANGUAGE)} "
    + f"{at_edge} of {len(found)} searches ended at an edge of the grid. {EXAMPLES} examples a task: an order of the recipes that the intervals do not separate is none."
)

# %% lang="ja" tags=["said"]
say(
    f"平均スコアと、検証で選ばれたマージ係数：{'、'.join(listed)}。{cross_terms.said('concat', 'linear', LANGUAGE)}"
    + f"{len(found)} 回の探索のうち、範囲の端で終わったのは {at_edge} 回です。タスクごとに {EXAMPLES} 例だけなので、信頼区間で分かれない順位に意味はありません。"
)

# %% [markdown] lang="en" tags=["surprise"]
# ## The wrong merge that is exact
#
# `linear` adds factors, which is what exercise 1 warns of. Now take the four LoRI-D adapters that **share one `A`**, and give `linear` a quarter of the weight that `concat` has. Its result has rank 32, that of `concat` 128. **Predict: how far is its update from the exact one, as a share of the size of the exact one?** (0: it is the same, 1: it is as far away as nothing at all would be.)

# %% [markdown] lang="ja" tags=["surprise"]
# ## 正確になる「間違った」マージ
#
# `linear` は因子どうしを足します。演習 1 で避けたやり方です。ここでは、**A を共有する**四つの LoRI-D アダプターを、`concat` の四分の一のマージ係数で `linear` によりマージします。結果の rank は 32 で、`concat` なら 128 です。**その更新は、正確な更新からどれだけ離れているでしょうか。正確な更新の大きさに対する割合で答えてください。**（0 なら同じ、1 なら、更新がまったくない場合と同じだけ離れています）

# %%
exact_guess = None

# %%
def distance(variant, weight=0.3):
    adapters = [ready_made(name, variant) for name in names]
    exact = {module: each.update for module, each in merged_by(concat, adapters, weight).factors.items()}
    wrong = merge(adapters, "linear", [weight / len(adapters)] * len(adapters), "merged").factors
    apart = sum(float((wrong[module].update - dW).square().sum()) for module, dW in exact.items())
    return (apart / sum(float(dW.square().sum()) for dW in exact.values())) ** 0.5


apart = {variant: distance(variant) for variant in ("lori_d_shared", "lori_d")}
guessed("wrong_merge", exact_guess, apart["lori_d_shared"], LANGUAGE)

# %% lang="en" tags=["said"]
say(
    f"Under one A the distance is {apart['lori_d_shared']:.1e}: the same update, to rounding, in a quarter of the rank. With an A for each task it is {apart['lori_d']:.2f}. "
    "The cross terms are the reason for both: `linear` gives w · (Σ B)(Σ A). Where all A are one, Σ A is four times it, so that four times the weight of Σ B A comes out, and a cross term B_s A_t is what task s does anyway. "
    "A method is wrong or right for the adapters that it is given."
)

# %% lang="ja" tags=["said"]
say(
    f"A を共有すると、差は {apart['lori_d_shared']:.1e} です。丸めを除けば同じ更新で、rank は四分の一で済みます。タスクごとに A があると、差は {apart['lori_d']:.2f} になります。"
    "どちらの理由も交差項です。`linear` の結果は w · (Σ B)(Σ A) です。A がすべて同じなら Σ A は A の四倍なので、Σ B A の四倍のマージ係数になり、交差項 B_s A_t は、タスク s がもともと行う働きと同じものになります。"
    "方法が間違っているかどうかは、どのアダプターに使うかで決まります。"
)

# %% [markdown] lang="en"
# ## Try it yourself
#
# - Merge two tasks in place of four: nlu and safety. Does validation choose a larger weight, and does more stay?
# - Give safety twice the weight of the others. Who pays?
# - Merge the four LoRI-S with a *conditioned* `A` (`ready_made(name, "lori_s_conditioned")`) at weight 1, without a search. Do they keep more than LoRI-S at its best weight?
#
# ## What this does not show
#
# What happens on large models: the paper (arXiv 2504.07448) reports that LoRI keeps far more of code and safety than LoRA there, and **less** of NLU and math, and that LoRI-S merges worse than LoRI-D. Nothing of that can be read off four small tasks on a small base.

# %% [markdown] lang="ja"
# ## やってみよう
#
# - 四つではなく、nlu と safety の二つをマージしてください。検証で選ばれるマージ係数は大きくなり、残る量は増えますか。
# - safety のマージ係数だけを二倍にしてください。どのタスクが代償を払いますか。
# - *条件付き* `A` の LoRI-S（`ready_made(name, "lori_s_conditioned")`）を四つ、探索せずにマージ係数 1 でマージしてください。最良のマージ係数での LoRI-S より多く残りますか。
#
# ## ここからはわからないこと
#
# 大きなモデルでの結果は、わかりません。論文（arXiv 2504.07448）の報告では、LoRI は LoRA よりコードと安全性をずっと多く残し、NLU と数学では**少なく**なり、LoRI-S のマージは LoRI-D に劣ります。小さなベースと四つの小さなタスクからは、そのどれも読み取れません。

# %% [markdown] lang="en" tags=["answer"]
# ## Answers to "Try it yourself"

# %% [markdown] lang="ja" tags=["answer"]
# ## 「やってみよう」の答え

# %% tags=["answer"]
pair = [load_task(name) for name in ("nlu", "safety")]
of_pair = [ready_made(task.name, "lori_s") for task in pair]
by_weight = {w: mean(score(base, merged_by(concat, of_pair, w), pair, 16, "validation")) for w in (0.2, 0.35, 0.6, 1.0)}
weight_of_two = max(by_weight, key=by_weight.get)
two = score(base, merged_by(concat, of_pair, weight_of_two), pair, EXAMPLES)
kept_of_two = sum(each.value for each in two.values()) / sum(single[name].value for name in two)
kept_of_four = sum(together[name].value for name in two) / sum(single[name].value for name in two)

# %% tags=["answer"]
w = best["lori_s"]
favoured = merge([ready_made(name, "lori_s") for name in names], "concat", [w, w, w, 2 * w], "merged")
change = {name: each.value - together[name].value for name, each in score(base, favoured, tasks, EXAMPLES).items()}
conditioned = merged_by(concat, [ready_made(name, "lori_s_conditioned") for name in names], 1.0)
what_A_reads = judge(score(base, conditioned, tasks, EXAMPLES), together)

# %% lang="en" tags=["answer", "said"]
say(
    f"- **Two tasks.** Validation chooses {weight_of_two:g}, and {best['lori_s']:g} for four; of nlu and safety together {100 * kept_of_two:.0f} % stays, of the same two among four {100 * kept_of_four:.0f} %.\n"
    f"- **Safety twice.** Change of the score: {', '.join(f'{name} {value:+.2f}' for name, value in change.items())}. The lowest is that of {min(change, key=change.get)}; one example of a task is worth {1 / EXAMPLES:.2f}.\n"
    f"- **Conditioned A.** {what_A_reads.said('conditioned A at weight 1', 'random A at its best weight', LANGUAGE)}"
)

# %% lang="ja" tags=["answer", "said"]
say(
    f"- **二つのタスク。** 検証で選ばれたマージ係数は {weight_of_two:g} で、四つのときは {best['lori_s']:g} です。nlu と safety を合わせて {100 * kept_of_two:.0f} % が残り、四つをマージしたときの同じ二つでは {100 * kept_of_four:.0f} % です。\n"
    f"- **safety を二倍に。** スコアの変化：{'、'.join(f'{name} {value:+.2f}' for name, value in change.items())}。最も低いのは {min(change, key=change.get)} です。一例は {1 / EXAMPLES:.2f} にあたります。\n"
    f"- **条件付き A。** {what_A_reads.said('マージ係数 1 での条件付き A', '最良のマージ係数でのランダムな A', LANGUAGE)}"
)
