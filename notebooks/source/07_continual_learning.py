# %% [markdown] lang="en" tags=["question"]
# # 7 · Continual learning
#
# **Question: a model has learned to refuse harmful requests. It now learns sums. Which knob protects the old task: entries, overlap, rate, or what A sees?**
#
# The usual worry: whatever is learned next overwrites what was there. LoRI keeps the first task's `A`, finds a mask for the new task, and moves only that mask's entries of `B`. So the usual answer is: other entries, other masks. You will turn each of four knobs alone, and judge each by the same rule.
#
# **Exercises:** ★ one line · ★★ one idea and a line or two · ★★★ think on paper first. Each has two folded hints: the idea, then nearly the code.

# %% [markdown] lang="ja" tags=["question"]
# # 7 · 継続学習
#
# **問い：有害な依頼を断ることを学んだモデルが、次に計算を学びます。前のタスクを守るのは、要素、重なり、学習率、A が見るもの、のどれでしょうか。**
#
# 心配なのは、後から学んだことが前のことを上書きしてしまうことです。LoRI は最初のタスクの `A` を保ち、新しいタスクのマスクを見つけ、`B` のうちそのマスクの要素だけを動かします。そこで、別の要素、別のマスクを使えばよい、と考えたくなります。四つのつまみを一つずつ回し、どれも同じ規則で判定します。
#
# **演習：** ★ は一行、★★ は一工夫、★★★ はまず紙の上で考えるものです。どれにもヒントが二つ折りたたまれています。一つ目は考え方、二つ目はほぼコードです。

# %% lang="en"
LANGUAGE = "en"

# %% lang="ja"
LANGUAGE = "ja"

# %%
import torch

from lori_core import (
    AdapterConfig, calibrate, evaluate, figures, fit, learn_beside, load_task, ready_made, task_footprint,
    training_for,
)
from lori_core.lessons import checks
from lori_core.lessons.by_hand import by_module, column, learned_by
from lori_core.lessons.controls import judge
from lori_core.lessons.showing import embedded_base, guessed, say, score, show

# %% [markdown] lang="en"
# ## Exercise 1: forgetting ★★★
#
# After each task, every task is scored: a matrix with a row for each task learned and a column for each task scored. Forgetting of a task is its **best earlier** score, counted from when it was learned, minus its **final** one. Return a list, one number a task.
#
# <details><summary>Hint 1: the idea</summary>
#
# One column at a time. Which rows come after task j was learned and before the last one? The last task has none: its forgetting is 0.
# </details>
#
# <details><summary>Hint 2: nearly the code</summary>
#
# `earlier = [row[j] for row in matrix[j:-1]]`; where it is empty take the final score; then `max(earlier) - matrix[-1][j]`.
# </details>

# %% [markdown] lang="ja"
# ## 演習 1：忘却 ★★★
#
# タスクを一つ学ぶたびに、全タスクを採点します。行が学んだタスク、列が採点したタスクの行列になります。あるタスクの忘却は、そのタスクを学んで以降の**それまでの最高点**から、**最終点**を引いたものです。タスクごとの数を並べたリストを返してください。
#
# <details><summary>ヒント 1：考え方</summary>
#
# 列を一つずつ見ます。タスク j を学んだ後で、最後の行より前にあるのはどの行でしょうか。最後のタスクにはそのような行がないので、忘却は 0 です。
# </details>
#
# <details><summary>ヒント 2：ほぼコード</summary>
#
# `earlier = [row[j] for row in matrix[j:-1]]` とし、空なら最終点を使います。そして `max(earlier) - matrix[-1][j]` です。
# </details>

# %% tags=["exercise"]
def forgetting(matrix):
    # solution
    final = matrix[-1]
    earlier = [[row[j] for row in matrix[j:-1]] or [final[j]] for j in range(len(final))]
    lost = [max(scores) - last for scores, last in zip(earlier, final)]
    return lost
    # end

# %% tags=["check"]
checks.forgetting(forgetting, LANGUAGE)

# %% [markdown] lang="en"
# ## Exercise 2: a mask that leaves others alone ★★
#
# Keep the `k` entries that moved most **among those that no earlier task holds**.
#
# <details><summary>Hint 1: the idea</summary>
#
# Take out what is held **before** you rank: afterwards fewer than k would be left.
# </details>
#
# <details><summary>Hint 2: nearly the code</summary>
#
# `movement.abs().masked_fill(held, 0).flatten()`, then `topk(k).indices` as in notebook 3.
# </details>

# %% [markdown] lang="ja"
# ## 演習 2：ほかのタスクに触れないマスク ★★
#
# **以前のタスクが持たない要素のうち**、最も大きく動いた `k` 個を残してください。
#
# <details><summary>ヒント 1：考え方</summary>
#
# 以前のタスクが持つ要素は、順位をつける**前に**除きます。後で除くと、k 個より少なくなります。
# </details>
#
# <details><summary>ヒント 2：ほぼコード</summary>
#
# `movement.abs().masked_fill(held, 0).flatten()` とし、ノートブック 3 と同じように `topk(k).indices` を使います。
# </details>

# %% tags=["exercise"]
def free_entries(movement, held, k):
    mask = torch.zeros(movement.numel(), dtype=torch.bool)
    # solution
    free = movement.abs().masked_fill(held, 0).flatten()
    mask[free.topk(k).indices] = True
    mask = mask.view(movement.shape)
    return mask
    # end

# %% tags=["check"]
checks.free_entries(free_entries, LANGUAGE)

# %% [markdown] lang="en"
# ## Safety first, then sums
#
# The safety adapter ships; the sums are learned now, each time by a short training at LoRI-S's own learning rate, unless the rate is the knob. Where they get a new mask it comes from **your** `free_entries`, which ranks how far each entry of all maps moved in one dense run that starts from safety's `B`.

# %% [markdown] lang="ja"
# ## まず安全性、次に計算
#
# safety のアダプターは付属のものを使います。計算は、毎回、短い学習で今ここで学びます。学習率を変える場合のほかは、LoRI-S の学習率を使います。新しいマスクは**あなたの** `free_entries` が作ります。safety の `B` から始めた一度の密な学習で各要素がどれだけ動いたかを、全写像を通して順位づけします。

# %%
base, N = embedded_base(LANGUAGE), 32  # test examples of each task
tasks = [load_task(name) for name in ("safety", "math")]
config, first, recipes = AdapterConfig(sparsity=0.9), ready_made("safety", "lori_s"), training_for("embedded")
training = {method: recipes[method].changed(steps=12, batch_size=8) for method in ("lori_d", "lori_s")}


def of_test(task):
    return evaluate(base.model, base.tokenizer, task, "test", N).score


def sums_in(mask, rate):
    settings = training["lori_s"].changed(learning_rate=rate * training["lori_s"].learning_rate)
    both = {module: mask[module] | held for module, held in first.masks.items()}
    return score(base, fit(base, tasks[1], first.with_masks(both), settings, trained=mask)[0], tasks, N)

# %%
held = first.masks
everything = {module: torch.ones_like(mask) for module, mask in held.items()}
movement = calibrate(base, tasks[1], first.with_masks(everything), config, training["lori_d"]).movement
k = int(column(held).sum())
excluding = by_module(free_entries(column(movement), column(held), k), movement)
allowing = by_module(free_entries(column(movement), torch.zeros_like(column(held)), k), movement)
new = {"excluding": excluding, "allowing": allowing}
share = {name: float(column(held)[column(each)].float().mean()) for name, each in new.items()}
{"share that safety holds": share}

# %% [markdown] lang="en" tags=["prediction"]
# ## Predict: whose entries are safest?
#
# The sums are learned in **the very same entries of `B`** that safety uses, so that each of them is moved. **How much of its score will safety have lost?** (0: nothing, 1: everything. Its score is the mean over harmful requests refused and benign ones answered: refusing everything would not keep it.)

# %% [markdown] lang="ja" tags=["prediction"]
# ## 予想：どの要素を動かすのが最も安全か
#
# safety が使っている **`B` のまったく同じ要素**で計算を学び、そのすべてを動かします。**safety のスコアはどれだけ下がるでしょうか。**（0 なら何も失わず、1 ならすべて失います。スコアは、有害な依頼を断った割合と、無害な依頼に答えた割合の平均なので、何でも断ればよいわけではありません）

# %%
guess = None

# %%
after = {"before": score(base, first, tasks, N), "same_entries": sums_in(held, 1.0)}


def lost(name):
    return forgetting([[after[each][task.name].value for task in tasks] for each in ("before", name)])[0]


guessed("lost_by_safety", guess, lost("same_entries"), LANGUAGE)

# %% [markdown] lang="en" tags=["control"]
# ## Entries, overlap and rate, one at a time
#
# If the entries decide, then a new mask that is kept **off** safety's entries must protect it better than its own entries do: that is the control. Beside it the new mask may overlap with safety's, and the rate is turned: a third of it with the new mask, three times it in the same entries.

# %% [markdown] lang="ja" tags=["control"]
# ## 要素、重なり、学習率を一つずつ
#
# 要素が決め手なら、safety の要素を**避けた**新しいマスクのほうが、safety 自身の要素よりよく守るはずです。safety 自身の要素は、成績が落ちるはずの対照条件です。さらに、重なりを許した新しいマスクでも学び、学習率も変えます。新しいマスクでは約三分の一、同じ要素では三倍です。

# %%
after |= {"exclude": sums_in(excluding, 1.0), "allow": sums_in(allowing, 1.0)}
after |= {"slow": sums_in(allowing, 0.3), "same_entries_fast": sums_in(held, 3.0)}
show(figures.compared_scores(after, LANGUAGE))

# %%
safety = {name: {"safety": scores["safety"]} for name, scores in after.items()}
entries = judge(safety["exclude"], safety["same_entries"])
overlap = judge(safety["exclude"], safety["allow"])
rate = judge(safety["slow"], safety["allow"])
fast = judge(safety["same_entries"], safety["same_entries_fast"])
sums = {name: round(scores["math"].value, 2) for name, scores in after.items()}

# %% lang="en" tags=["said"]
say(
    f"Safety has lost {lost('same_entries'):.2f} in its own entries, {lost('exclude'):.2f} in others, {lost('allow'):.2f} where masks may overlap, {lost('slow'):.2f} at the lower rate.\n\n"
    f"- **Entries.** {entries.said('safety, sums in other entries', 'safety, sums in its own entries', LANGUAGE)} "
    + {
        "shown": "Its own entries are the dangerous ones.",
        "not_shown": "That a task's own entries are the dangerous ones is not shown.",
        "opposite": "A task's own entries are the **safest** here. Being off its entries does not protect a task: other entries reach the same outputs too.",
    }[entries.verdict]
    + f"\n- **Overlap.** {overlap.said('safety, overlap excluded', 'safety, overlap allowed', LANGUAGE)} "
    + f"\n- **Rate.** {rate.said('safety at the lower rate', 'safety at the whole rate', LANGUAGE)} In the same entries: {fast.said('at the whole rate', 'at three times the rate', LANGUAGE)}"
    + f"\n\nA run that learns nothing forgets nothing, so look at the sums as well: {sums['same_entries']} in the same entries, {sums['exclude']} and {sums['allow']} in new masks, {sums['slow']} at the lower rate."
)

# %% lang="ja" tags=["said"]
say(
    f"safety が失ったスコアは、自分の要素で {lost('same_entries'):.2f}、別の要素で {lost('exclude'):.2f}、重なりを許すと {lost('allow'):.2f}、低い学習率では {lost('slow'):.2f} です。\n\n"
    f"- **要素。** {entries.said('別の要素で計算を学んだ後の safety', '自分の要素で計算を学んだ後の safety', LANGUAGE)}"
    + {
        "shown": "危ないのは、そのタスクが使う要素です。",
        "not_shown": "そのタスクが使う要素が危ないとは言えません。",
        "opposite": "そのタスクが使う要素は、むしろ**最も安全**です。要素を避けても、タスクは守られません。別の要素も同じ出力に届くからです。",
    }[entries.verdict]
    + f"\n- **重なり。** {overlap.said('重なりを除いた safety', '重なりを許した safety', LANGUAGE)}"
    + f"\n- **学習率。** {rate.said('低い学習率での safety', '元の学習率での safety', LANGUAGE)}同じ要素では：{fast.said('元の学習率', '三倍の学習率', LANGUAGE)}"
    + f"\n\n何も学ばなければ、何も忘れません。計算のスコアも見てください。同じ要素で {sums['same_entries']}、新しいマスクで {sums['exclude']} と {sums['allow']}、低い学習率で {sums['slow']} です。"
)

# %% [markdown] lang="en"
# ## What A sees
#
# The fourth knob is neither where nor how fast, but what is **read**. Give the sums factors of their own beside safety's, which stay as they are, and take an `A` that does not read what safety's examples feed into a module. No example of safety is needed for that, only its footprint, the second moments of those inputs.
#
# ## Exercise 3: a blind A ★★★
#
# `seen` (k, in_features) holds the directions along which safety's inputs are largest, as rows of length 1 at right angles. Return `A` (rank, in_features) without what its rows read along them.
#
# <details><summary>Hint 1: the idea</summary>
#
# Part each row of A into what lies along the directions and the rest. How far does a row reach along a direction of length 1? That is their inner product.
# </details>
#
# <details><summary>Hint 2: nearly the code</summary>
#
# `A @ seen.T` are the lengths along the directions, `A @ seen.T @ seen` is that part of A. Take it away from A.
# </details>

# %% [markdown] lang="ja"
# ## A が見るもの
#
# 四つ目のつまみは、どこを、どれだけ速く動かすかではなく、何を**読む**かです。safety の因子はそのまま残し、その横に計算だけの因子を並べます。その `A` は、safety の例がモジュールに入力するものを読まないようにします。safety の例は要りません。必要なのは、入力の二次モーメント、つまりフットプリントだけです。
#
# ## 演習 3：見ない A ★★★
#
# `seen`（形は (k, in_features)）は、safety の入力が最も大きくなる方向を、長さ 1 で互いに直交する行として並べたものです。`A`（形は (rank, in_features)）から、行がその方向に沿って読む分を除いて返してください。
#
# <details><summary>ヒント 1：考え方</summary>
#
# A の各行を、方向に沿った成分と残りに分けます。長さ 1 の方向に沿って、行はどれだけ伸びているでしょうか。それは内積です。
# </details>
#
# <details><summary>ヒント 2：ほぼコード</summary>
#
# `A @ seen.T` が方向に沿った長さ、`A @ seen.T @ seen` がその成分です。それを A から引きます。
# </details>

# %% tags=["exercise"]
def blind(A, seen):
    A_blind = A - A @ seen.T @ seen  # solution
    return A_blind

# %% tags=["check"]
checks.blind(blind, LANGUAGE)

# %% [markdown] lang="en"
# Three `A`, each beside the same safety adapter, at the whole rate and the same mask sparsity: a random one, which is the control; the same made blind by **your** function; and the library's *conditioned* one, which is chosen to read the sums' inputs well too.

# %% [markdown] lang="ja"
# 三つの `A` を、同じ safety のアダプターの横に並べます。学習率は元のまま、マスクのスパース率も同じです。対照条件はランダムな `A` です。二つ目は、それを**あなたの**関数で、safety の入力を読まないようにしたものです。三つ目はライブラリーの*条件付き* `A` で、計算の入力もよく読むように選ばれます。

# %%
DIRECTIONS = 64  # of the 256 or 512 of a module's input


def beside(projection, tasks=tasks):
    settings = config.changed(projection=projection)
    return learn_beside(base, tasks, "lori_s", settings, training, of_test, first=first).result


kinds = {"beside_random": "kaiming_uniform", "beside_conditioned": "conditioned"}
after |= {name: {each.task: each for each in beside(kind).scores[1]} for name, kind in kinds.items()}
seen = task_footprint(base, tasks[0], adapter=first)
yours = learned_by(blind, base, tasks[1], first, seen, DIRECTIONS, config, training)
after["beside_blind"] = score(base, yours, tasks, N)
rows = ("before", "beside_random", "beside_blind", "beside_conditioned")
show(figures.compared_scores({name: after[name] for name in rows}, LANGUAGE))

# %%
what_A_sees = {
    name: judge({"safety": after[name]["safety"]}, {"safety": after["beside_random"]["safety"]})
    for name in ("beside_blind", "beside_conditioned")
}
decides = {each.verdict for each in what_A_sees.values()}
learned = {name: round(after[name]["math"].value, 2) for name in rows}

# %% lang="en" tags=["said"]
say(
    f"- **Your blind A.** {what_A_sees['beside_blind'].said('safety beside your A', 'safety beside a random A', LANGUAGE)}\n"
    f"- **A conditioned A.** {what_A_sees['beside_conditioned'].said('safety beside a conditioned A', 'safety beside a random A', LANGUAGE)}\n\n"
    f"Safety has lost {lost('beside_blind'):.2f} beside yours, {lost('beside_conditioned'):.2f} beside the conditioned one, {lost('beside_random'):.2f} beside the random one; the sums reach {learned['beside_blind']}, {learned['beside_conditioned']} and {learned['beside_random']}. "
    + ("What A reads decides what is forgotten here, at the whole rate, and whatever the mask." if decides == {"shown"} else "That what A reads protects safety is not shown for both here.")
)

# %% lang="ja" tags=["said"]
say(
    f"- **あなたが作った「見ない A」。** {what_A_sees['beside_blind'].said('あなたの A を並べた safety', 'ランダムな A を並べた safety', LANGUAGE)}\n"
    f"- **条件付き A。** {what_A_sees['beside_conditioned'].said('条件付き A を並べた safety', 'ランダムな A を並べた safety', LANGUAGE)}\n\n"
    f"safety が失ったスコアは、あなたの A で {lost('beside_blind'):.2f}、条件付き A で {lost('beside_conditioned'):.2f}、ランダムな A で {lost('beside_random'):.2f} です。計算のスコアは、順に {learned['beside_blind']}、{learned['beside_conditioned']}、{learned['beside_random']} になりました。"
    + ("ここで何を忘れるかは、学習率もマスクもそのままで、A が何を読むかで決まります。" if decides == {"shown"} else "A が読むものが safety を守るとは、ここでは、両方については言えません。")
)

# %% [markdown] lang="en"
# ## Try it yourself
#
# - Turn the order around: learn safety last. Which order would you ship?
# - `sums_in(allowing, rate)` at a tenth of the rate: what does safety keep, and what is learned less?
# - `beside("conditioned", [*tasks, load_task("code")])`: does the conditioned `A` still forget nothing after three tasks?
#
# ## What this does not show
#
# Two tasks that sound different, one seed and a base that has practised most of them are an easy case: two tasks with the same inputs and other answers cannot be kept apart by what `A` reads. And a refusal score on invented requests is no safety case for a product: measure yours, on your requests, of both kinds.

# %% [markdown] lang="ja"
# ## やってみよう
#
# - 順序を逆にして、safety を最後に学んでください。出荷するならどちらの順序にしますか。
# - 十分の一の学習率で `sums_in(allowing, rate)` を試してください。safety はどれだけ残り、新しいタスクはどれだけ学びにくくなりますか。
# - `beside("conditioned", [*tasks, load_task("code")])` では、三つ学んだ後でも、条件付き `A` は何も忘れませんか。
#
# ## ここからはわからないこと
#
# 言い方の違う二つのタスク、一つのシード、その大部分を練習済みのベースは、易しい場合です。入力が同じで答えだけが違うタスクは、`A` が読むものでは分けられません。また、作り物の依頼での拒否のスコアは、製品の安全性の根拠にはなりません。自分の依頼で、両方の種類について測ってください。

# %% [markdown] lang="en" tags=["answer"]
# ## Answers to "Try it yourself"

# %% [markdown] lang="ja" tags=["answer"]
# ## 「やってみよう」の答え

# %% tags=["answer"]
math = ready_made("math", "lori_s")
moved = calibrate(base, tasks[0], math.with_masks(everything), config, training["lori_d"]).movement
mask = by_module(free_entries(column(moved), torch.zeros_like(column(held)), k), moved)
both = math.with_masks({module: mask[module] | of_math for module, of_math in math.masks.items()})
after["safety_last"] = score(base, fit(base, tasks[0], both, training["lori_s"], trained=mask)[0], tasks, N)
after["slower"] = sums_in(allowing, 0.1)
last = judge({"safety": after["safety_last"]["safety"]}, safety["allow"])
order = {name: {task: round(each.value, 2) for task, each in after[name].items()} for name in ("allow", "safety_last")}

# %% tags=["answer"]
three = beside("conditioned", [*tasks, load_task("code")])
lost_of_three = dict(zip(three.order, forgetting(three.matrix)))

# %% lang="en" tags=["answer", "said"]
say(
    f"- **Order.** Safety first: safety {order['allow']['safety']}, sums {order['allow']['math']}. Safety last: safety {order['safety_last']['safety']}, sums {order['safety_last']['math']}. "
    f"{last.said('safety, learned last', 'safety, learned first', LANGUAGE)} Look at both tasks before you ship an order.\n"
    f"- **A tenth of the rate.** Safety has lost {lost('slower'):.2f}, and the sums reach {after['slower']['math'].value:.2f} in place of {after['allow']['math'].value:.2f}.\n"
    f"- **Three tasks.** Lost: {', '.join(f'{name} {value:.2f}' for name, value in lost_of_three.items())}."
)

# %% lang="ja" tags=["answer", "said"]
say(
    f"- **順序。** safety が先：safety {order['allow']['safety']}、計算 {order['allow']['math']}。safety が後：safety {order['safety_last']['safety']}、計算 {order['safety_last']['math']}。"
    f"{last.said('後に学んだ safety', '先に学んだ safety', LANGUAGE)}出荷する順序を決める前に、両方のタスクを見てください。\n"
    f"- **十分の一の学習率。** safety が失ったスコアは {lost('slower'):.2f} で、計算のスコアは {after['allow']['math'].value:.2f} の代わりに {after['slower']['math'].value:.2f} です。\n"
    f"- **三つのタスク。** 失われたスコア：{'、'.join(f'{name} {value:.2f}' for name, value in lost_of_three.items())}。"
)
