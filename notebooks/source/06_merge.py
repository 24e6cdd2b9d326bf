# %% [markdown] lang="en" tags=["question"]
# # 6 · Merge
#
# **Question: four adapters, one model. What is left of each task when all are merged, and does LoRI keep more than LoRA?**
#
# Merging adds the updates of several tasks: `dW = Σ w · dW_t`. There are other recipes as well; you will write two and compare five.

# %% [markdown] lang="ja" tags=["question"]
# # 6 · マージ
#
# **問い：四つのアダプターを一つのモデルに。すべてをマージしたとき、各タスクはどれだけ残り、LoRI は LoRA より多く残すのでしょうか。**
#
# マージは、複数のタスクの更新を足します：`dW = Σ w · dW_t`。ほかの方法もあります。二つを自分で書き、五つを比べます。

# %% lang="en"
LANGUAGE = "en"

# %% lang="ja"
LANGUAGE = "ja"

# %%
import torch

from lori_core import figures, load_task, merge, ready_made
from lori_core.lessons import checks
from lori_core.lessons.showing import compared, embedded_base, guessed, say, score, show

# %% [markdown] lang="en"
# ## Exercise 1: concatenate
#
# The exact way, and the paper's: stack the factors, so that one adapter of rank 2r does what both did. Return `(A, B)` with B A = weight · B_s A_s + weight · B_t A_t.
#
# <details><summary>Hint</summary>
#
# `torch.cat` the As below each other (dim 0) and the Bs beside each other (dim 1). The weight goes on one of the two.
# </details>

# %% [markdown] lang="ja"
# ## 演習 1：連結
#
# 論文の方法で、誤差がありません。因子を積み重ね、rank 2r のアダプター一つで両方の働きをさせます。B A = weight · B_s A_s + weight · B_t A_t となる `(A, B)` を返してください。
#
# <details><summary>ヒント</summary>
#
# `torch.cat` で A は縦に（dim 0）、B は横に（dim 1）並べます。重みはどちらか一方に掛けます。
# </details>

# %% tags=["exercise"]
def concat(A_s, B_s, A_t, B_t, weight):
    A = torch.cat([A_s, A_t])  # solution
    B = weight * torch.cat([B_s, B_t], dim=1)  # solution
    return A, B

# %% tags=["check"]
checks.concat(concat, LANGUAGE)

# %% [markdown] lang="en"
# ## Exercise 2: TIES, the election
#
# TIES settles disagreements: for each entry the sign of the **sum** is elected, and the result is the mean of those updates **that have this sign**. `updates` has shape (tasks, entries). (TIES also trims small entries first; here it is the election only.)
#
# <details><summary>Hint</summary>
#
# `agrees = updates.sign() == updates.sum(dim=0).sign()`, then sum what agrees and divide by how many do.
# </details>

# %% [markdown] lang="ja"
# ## 演習 2:TIES の投票
#
# TIES は食い違いを投票で解消します。要素ごとに**和**の符号を選び、**その符号を持つ**更新だけの平均を結果とします。`updates` の形は (tasks, entries) です。（TIES は先に小さな要素を除きますが、ここでは投票だけを扱います）
#
# <details><summary>ヒント</summary>
#
# `agrees = updates.sign() == updates.sum(dim=0).sign()` とし、一致したものの和を、一致した数で割ります。
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
# ## One weight for all
#
# A larger weight lets each task speak louder, and disturb the others more. It is chosen on validation examples, never on the test.

# %% [markdown] lang="ja"
# ## 全タスク共通の重み
#
# 重みを大きくすると、各タスクの声は大きくなりますが、ほかのタスクの邪魔も増えます。重みはテストではなく、検証用の例で選びます。

# %%
base = embedded_base()
names = ("nlu", "math", "code", "safety")
tasks = [load_task(name) for name in names]
EXAMPLES = 32  # of each task's test


def merged(variant, weight, method="concat", **options):
    adapters = [ready_made(name, variant) for name in names]
    return merge(adapters, method, [weight] * len(adapters), "merged", **options)


def mean(scores):
    return sum(each.value for each in scores.values()) / len(scores)


def validation(adapter):
    return mean(score(base, adapter, tasks, 16, "validation"))


variants = ("lora", "lori_d", "lori_s", "lori_d_shared")  # the last one is the control, see below
weights = {variant: {w: validation(merged(variant, w)) for w in (0.3, 0.6, 1.0)} for variant in variants}
show(figures.dial("weight", weights, LANGUAGE))

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

# %%
best = {variant: max(by_weight, key=by_weight.get) for variant, by_weight in weights.items()}


def singly(variant):
    return {task.name: score(base, ready_made(task.name, variant), [task], EXAMPLES)[task.name] for task in tasks}


single, together = singly("lori_s"), score(base, merged("lori_s", best["lori_s"]), tasks, EXAMPLES)
guessed(guess, 100 * mean(together) / mean(single), LANGUAGE)

# %%
untaught = score(base, None, tasks, EXAMPLES)
show(figures.compared_scores({"base": untaught, "single": single, "merged_lori_s": together}, LANGUAGE))

# %% [markdown] lang="en" tags=["control"]
# ## Methods side by side, with a control that should fail
#
# LoRA, LoRI-D and LoRI-S, and the control: LoRI-D whose tasks **share one A**. Each is merged at its own best weight. If an A for each task is what keeps tasks apart, the control must lose.

# %% [markdown] lang="ja" tags=["control"]
# ## 方式の比較と、失敗するはずの対照実験
#
# LoRA、LoRI-D、LoRI-S と、対照実験として、タスクが **A を共有する** LoRI-D を比べます。どれも、それぞれ最良の重みでマージします。タスクごとの A がタスクを離しているのなら、対照実験は負けるはずです。

# %%
by_method = {"merged_lori_s": together}
for variant in ("lora", "lori_d", "lori_d_shared"):
    by_method[f"merged_{variant}"] = score(base, merged(variant, best[variant]), tasks, EXAMPLES)
own, shared = by_method["merged_lori_d"], by_method["merged_lori_d_shared"]
lost = {name: single[name].value - together[name].value for name in names}
most = max(lost, key=lost.get)
show(figures.compared_scores(by_method, LANGUAGE))

# %% lang="en" tags=["said"]
say(
    f"Alone and merged, LoRI-S differs most on {most}: {single[most].value:.2f} and {together[most].value:.2f}. "
    + "LoRI-S against LoRA, merged: " + compared(together, by_method["merged_lora"], "LoRI-S", "LoRA", LANGUAGE)
    + " An A for each against one shared A: " + compared(own, shared, "an A for each", "the shared A", LANGUAGE)
    + (
        " The control fails, as it should if an A for each task is what helps."
        if mean(shared) < mean(own) and any(shared[name].high < own[name].low for name in names)
        else f" The control does **not** fail (mean {mean(shared):.2f}, with an A for each {mean(own):.2f}), so what is lost or kept here is not explained by the As. "
        f"{EXAMPLES} examples a task show large differences only; the README has three seeds and more examples."
    )
)

# %% lang="ja" tags=["said"]
say(
    f"LoRI-S で、単独とマージ後の差が最も大きいのは {most} です（{single[most].value:.2f} と {together[most].value:.2f}）。"
    + "マージ後の LoRI-S と LoRA の比較：" + compared(together, by_method["merged_lora"], "LoRI-S", "LoRA", LANGUAGE)
    + "タスクごとの A と共有した A の比較：" + compared(own, shared, "タスクごとの A", "共有した A", LANGUAGE)
    + (
        "対照実験は失敗しました。タスクごとの A が効いているのなら、こうなるはずです。"
        if mean(shared) < mean(own) and any(shared[name].high < own[name].low for name in names)
        else f"対照実験は失敗**しませんでした**（平均 {mean(shared):.2f}、タスクごとの A では {mean(own):.2f}）。ここで何が失われ、何が残るかは、A では説明できません。"
        f"タスクごとに {EXAMPLES} 例では、大きな差しかわかりません。README には、三つのシードと、より多くの例での結果があります。"
    )
)

# %% [markdown] lang="en"
# ## Other recipes
#
# The same four LoRI-S adapters, merged in five ways. TIES takes a mean, so its weight is 1. `linear` is a second control: it adds the factors, As to As and Bs to Bs, and so brings in the cross terms of exercise 1. None was tuned here.

# %% [markdown] lang="ja"
# ## ほかの方法
#
# 同じ四つの LoRI-S アダプターを、五つの方法でマージします。TIES は平均を取るので、重みは 1 です。`linear` は二つ目の対照実験です。因子どうし（A と A、B と B）を足すので、演習 1 の交差項が入ります。どれも調整はしていません。

# %%
recipes = {
    "concat": merged("lori_s", best["lori_s"]),
    "task_arithmetic": merged("lori_s", best["lori_s"], "task_arithmetic", rank=64),
    "ties": merged("lori_s", 1.0, "ties"),
    "dare": merged("lori_s", best["lori_s"], "dare", drop=0.5),
    "linear": merged("lori_s", best["lori_s"], "linear"),
}
by_recipe = {name: score(base, adapter, tasks, EXAMPLES) for name, adapter in recipes.items() if name != "concat"}
by_recipe = {"concat": together} | by_recipe
show(figures.compared_scores(by_recipe, LANGUAGE))

# %%
errors = {name: round(adapter.record["merge"]["error"], 4) for name, adapter in recipes.items()}
{name: {"rank": adapter.config.rank, "lost when written as factors": errors[name]} for name, adapter in recipes.items()}

# %% lang="en" tags=["said"]
ranking = sorted(by_recipe, key=lambda name: -mean(by_recipe[name]))
say("By mean score: " + ", ".join(f"{name} {mean(by_recipe[name]):.2f}" for name in ranking) + f". {EXAMPLES} examples a task: look at the intervals before you believe an order.")

# %% lang="ja" tags=["said"]
ranking = sorted(by_recipe, key=lambda name: -mean(by_recipe[name]))
say("平均スコアの順：" + "、".join(f"{name} {mean(by_recipe[name]):.2f}" for name in ranking) + f"。タスクごとに {EXAMPLES} 例だけです。順位を信じる前に、信頼区間を見てください。")

# %% [markdown] lang="en"
# ## Try it yourself
#
# - Train two adapters on tasks that share one prompt form, `load_task("math?conflict=form")` and `load_task("code?conflict=form")` (notebook 4 has the calls), and merge them. Does the control fail now?
# - Give safety twice the weight of the others. Who pays?
#
# ## What this does not show
#
# What happens on large models: the paper (arXiv 2504.07448) reports that LoRI keeps far more of code and safety than LoRA there, and **less** of NLU and math, and that LoRI-S merges worse than LoRI-D. Nothing of that can be read off four small tasks on a small base.

# %% [markdown] lang="ja"
# ## やってみよう
#
# - 同じプロンプト形式の二つのタスク `load_task("math?conflict=form")` と `load_task("code?conflict=form")` でアダプターを学習し（呼び出し方はノートブック 4）、マージしてください。今度は対照実験が失敗しますか。
# - safety の重みだけを二倍にしてください。どのタスクが代償を払いますか。
#
# ## ここからはわからないこと
#
# 大きなモデルでの結果は、わかりません。論文（arXiv 2504.07448）の報告では、LoRI は LoRA よりコードと安全性をずっと多く残し、NLU と数学では**少なく**なり、LoRI-S のマージは LoRI-D に劣ります。小さなベースと四つの小さなタスクからは、そのどれも読み取れません。
