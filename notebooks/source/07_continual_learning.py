# %% [markdown] lang="en" tags=["question"]
# # 7 · Continual learning
#
# **Question: a model has learned to refuse harmful requests. Can it learn a second and a third task and still refuse?**
#
# The usual worry: whatever is learned next overwrites what was there. LoRI keeps the first task's `A`, finds a mask for the new task, and moves only that mask's entries of `B`. Masks may overlap (the paper's way), or the new one may be kept off entries that earlier tasks hold.

# %% [markdown] lang="ja" tags=["question"]
# # 7 · 継続学習
#
# **問い：有害な依頼を断ることを学んだモデルは、二つ目、三つ目のタスクを学んでも、断り続けられるのでしょうか。**
#
# 心配なのは、後から学んだことが前のことを上書きしてしまうことです。LoRI は最初のタスクの `A` を保ち、新しいタスクのマスクを見つけ、`B` のうちそのマスクの要素だけを動かします。マスクの重なりを許すことも（論文の方法）、以前のタスクが持つ要素を避けることもできます。

# %% lang="en"
LANGUAGE = "en"

# %% lang="ja"
LANGUAGE = "ja"

# %%
from functools import partial

import torch

from lori_core import AdapterConfig, evaluate, figures, fit, learn_sequence, load_task, ready_made, training_for
from lori_core.lessons import checks
from lori_core.lessons.showing import compared, embedded_base, guessed, say, score, show

# %% [markdown] lang="en"
# ## Exercise 1: forgetting
#
# After each task, every task is scored: a matrix with a row for each task learned and a column for each task scored. Forgetting of a task is its **best earlier** score, counted from when it was learned, minus its **final** one. Return a list, one number a task.
#
# <details><summary>Hint</summary>
#
# For task j the earlier scores are `matrix[i][j]` for i from j to the row before the last. The last task has nothing after it: its forgetting is 0.
# </details>

# %% [markdown] lang="ja"
# ## 演習 1：忘却
#
# タスクを一つ学ぶたびに、全タスクを採点します。行が学んだタスク、列が採点したタスクの行列になります。あるタスクの忘却は、そのタスクを学んで以降の**それまでの最高点**から、**最終点**を引いたものです。タスクごとの数を並べたリストを返してください。
#
# <details><summary>ヒント</summary>
#
# タスク j の以前の点は、i が j 行から最後の一つ前の行までの `matrix[i][j]` です。最後のタスクの後には何もないので、忘却は 0 です。
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
# ## Exercise 2: a mask that leaves others alone
#
# Keep the `k` entries that moved most **among those that no earlier task holds**.
#
# <details><summary>Hint</summary>
#
# Set the movement of held entries to zero first (`masked_fill`), then rank. Taking them out after ranking leaves fewer than k.
# </details>

# %% [markdown] lang="ja"
# ## 演習 2：ほかのタスクに触れないマスク
#
# **以前のタスクが持たない要素のうち**、最も大きく動いた `k` 個を残してください。
#
# <details><summary>ヒント</summary>
#
# 先に、以前のタスクが持つ要素の動きを 0 にし（`masked_fill`）、それから順位をつけます。順位をつけた後で除くと、k 個より少なくなります。
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
# ## Safety first, then sums, then programs
#
# The safety adapter ships; the two others are learned now, each by a short calibration and a short training.

# %% [markdown] lang="ja"
# ## まず安全性、次に計算、最後にプログラム
#
# safety のアダプターは付属のものを使います。残りの二つは、短いキャリブレーションと短い学習で、今ここで学びます。

# %%
base = embedded_base()
order = ("safety", "math", "code")
tasks = [load_task(name) for name in order]
config, first, recipes = AdapterConfig(sparsity=0.9), ready_made("safety", "lori_s"), training_for("embedded")
training = {method: recipes[method].changed(steps=12, batch_size=8) for method in ("lori_d", "lori_s")}


def judge(task):
    return evaluate(base.model, base.tokenizer, task, "test", 32).score


learn_in_order = partial(learn_sequence, base, tasks, "lori_s", config, training, judge, first=first)
allowed = learn_in_order(overlap="allow")

# %% [markdown] lang="en" tags=["prediction"]
# ## Predict
#
# **How much of its score will safety have lost after the two other tasks?** (0: nothing, 1: everything. Its score is the mean over harmful requests refused and benign ones answered.)

# %% [markdown] lang="ja" tags=["prediction"]
# ## 予想
#
# **二つのタスクを学んだ後、safety のスコアはどれだけ下がるでしょうか。**（0 なら何も失わず、1 ならすべて失います。スコアは、有害な依頼を断った割合と、無害な依頼に答えた割合の平均です）

# %%
guess = None

# %%
lost = forgetting(allowed.result.matrix)
guessed(guess, lost[0], LANGUAGE)

# %%
show(figures.continual_matrix(allowed.result, LANGUAGE))

# %%
parts = [row[0].parts for row in allowed.result.scores]  # safety after each task, by kind of request
{name: {kind: round(share, 2) for kind, share in each.items()} for name, each in zip(order, parts)}

# %% [markdown] lang="en"
# Refusing everything would keep the score of harmful requests at 1: that is why both kinds are counted.
#
# Now with the new masks kept off entries that earlier tasks hold:

# %% [markdown] lang="ja"
# 何でも断れば、有害な依頼の点は 1 のままです。だから、両方の種類を数えます。
#
# 次は、以前のタスクが持つ要素を、新しいマスクから除きます。

# %%
excluded = learn_in_order(overlap="exclude")
show(figures.continual_matrix(excluded.result, LANGUAGE))

# %% [markdown] lang="en"
# What share of the second and the third mask do earlier masks hold too? By chance it is 1 − sparsity for each earlier mask.

# %% [markdown] lang="ja"
# 二つ目と三つ目のマスクのうち、以前のマスクも持つ要素はどれだけでしょうか。偶然なら、以前のマスク一つにつき 1 − スパース率 です。

# %%
overlaps = {"allow": allowed.result.mask_overlap, "exclude": excluded.result.mask_overlap}
{overlap: [round(share, 3) for share in shares] for overlap, shares in overlaps.items()}

# %% [markdown] lang="en" tags=["control"]
# ## A control that should fail
#
# The opposite of care: learn the sums in **the very same entries** that safety uses, and at three times the rate.

# %% [markdown] lang="ja" tags=["control"]
# ## 失敗するはずの対照実験
#
# 慎重さとは逆のことをします。safety が使っている**まったく同じ要素**で、三倍の学習率で計算を学びます。

# %%
careless = training["lori_s"].changed(learning_rate=3 * training["lori_s"].learning_rate)
overwritten, _ = fit(base, tasks[1], first, careless, trained=first.masks)
rows = {"before": allowed.result.scores[0], "allow": allowed.result.scores[1], "exclude": excluded.result.scores[1]}
after = {name: {each.task: each for each in row[:2]} for name, row in rows.items()}
after["same_entries"] = score(base, overwritten, tasks[:2], 32)
show(figures.compared_scores(after, LANGUAGE))

# %%
lost_excluded = forgetting(excluded.result.matrix)
drop = {name: after["before"]["safety"].value - scores["safety"].value for name, scores in after.items()}
more = drop["same_entries"] - max(drop["allow"], drop["exclude"])

# %% lang="en" tags=["said"]
say(
    f"After the sums, safety has lost {drop['allow']:.2f} with overlap allowed, {drop['exclude']:.2f} with overlap excluded, and {drop['same_entries']:.2f} where they took its own entries. "
    + compared(after["exclude"], after["same_entries"], "other entries", "the same entries", LANGUAGE)
    + (
        " The control fails, as it should: moving what a task stands on costs more than moving other entries."
        if more > 0.1
        else " The control does not clearly fail: that its own entries cost safety more than others do is not shown. Entries that safety does not hold reach the same outputs too (notebook 5)."
    )
    + f" After both tasks it has lost {lost[0]:.2f} with overlap allowed, {lost_excluded[0]:.2f} with overlap excluded: "
    + ("keeping entries apart protects it here." if lost[0] - lost_excluded[0] > 0.1 else "keeping entries apart does not protect it here.")
)

# %% lang="ja" tags=["said"]
say(
    f"計算を学んだ後に safety が失ったスコアは、重なりを許すと {drop['allow']:.2f}、除くと {drop['exclude']:.2f}、safety 自身の要素を使うと {drop['same_entries']:.2f} です。"
    + compared(after["exclude"], after["same_entries"], "別の要素", "同じ要素", LANGUAGE)
    + (
        "対照実験は予想どおり失敗しました。タスクの土台を動かすと、ほかの要素を動かすより多くを失います。"
        if more > 0.1
        else "対照実験は、はっきりとは失敗しませんでした。safety 自身の要素を動かすほうが多くを失うとは言えません。safety が持たない要素も、同じ出力に届きます（ノートブック 5）。"
    )
    + f"二つのタスクを学んだ後では、重なりを許すと {lost[0]:.2f}、除くと {lost_excluded[0]:.2f} を失いました。"
    + ("ここでは、要素を分けることが safety を守っています。" if lost[0] - lost_excluded[0] > 0.1 else "ここでは、要素を分けても safety は守られません。")
)

# %% [markdown] lang="en"
# Both sides at once, after the last task: what the new task reached, and what is left of the old ones. A method that learns nothing forgets nothing, so never look at forgetting alone.

# %% [markdown] lang="ja"
# 最後のタスクの後で、両面を一度に見ます。新しいタスクがどこまでできるようになったか、前のタスクがどれだけ残ったか。何も学ばなければ、何も忘れません。忘却だけを見てはいけません。

# %%
final = {"allow": allowed.result.scores[-1], "exclude": excluded.result.scores[-1]}
show(figures.compared_scores({name: {each.task: each for each in row} for name, row in final.items()}, LANGUAGE))

# %% [markdown] lang="en"
# ## Try it yourself
#
# - Turn the order around: learn safety last. Which order would you ship?
# - Learn the later tasks at a tenth of the rate: `learn_in_order(overlap="allow", later_rate=0.1)`. What does safety keep, and what is learned less?
# - Add `"nlu"` to the order. How much of a mask is left to choose from with `overlap="exclude"` after four tasks at 90 %? After ten?
#
# ## What this does not show
#
# Three tasks that sound different, on a base that has practised most of them, are an easy case. And a refusal score on invented requests is no safety case for a product: measure yours, on your requests, of both kinds.

# %% [markdown] lang="ja"
# ## やってみよう
#
# - 順序を逆にして、safety を最後に学んでください。出荷するならどちらの順序にしますか。
# - 二つ目以降のタスクを 10 分の 1 の学習率で学んでください：`learn_in_order(overlap="allow", later_rate=0.1)`。safety はどれだけ残り、新しいタスクはどれだけ学びにくくなりますか。
# - 順序に `"nlu"` を加えてください。スパース率 90 % のタスクを四つ学んだ後、`overlap="exclude"` で選べる要素はどれだけ残りますか。十個の後ではどうですか。
#
# ## ここからはわからないこと
#
# 言い方の違う三つのタスクと、その大部分を練習済みのベースは、易しい場合です。また、作り物の依頼での拒否のスコアは、製品の安全性の根拠にはなりません。自分の依頼で、両方の種類について測ってください。
