# %% [markdown] lang="en" tags=["question"]
# # 3 · Calibrate a mask
#
# **Question: which entries of B does a task need, and how much does it matter that they are the right ones?**
#
# LoRI-S trains few entries of `B`. To choose them it first trains *all* of `B` for a while (calibration), keeps the entries that grew largest over all maps together, and throws the rest away. You will write that choice, watch the mask settle, and set it beside a mask drawn at random.
#
# **Exercises:** ★ one line · ★★ one idea and a line or two · ★★★ think on paper first. Each has two folded hints: the idea, then nearly the code.

# %% [markdown] lang="ja" tags=["question"]
# # 3 · マスクをキャリブレーションする
#
# **問い：タスクは B のどの要素を必要とするのでしょうか。そして、正しい要素であることは、どれほど大事なのでしょうか。**
#
# LoRI-S は `B` のごく一部の要素を学習します。選ぶために、まず `B` の*全体*をしばらく学習し（キャリブレーション）、全写像を通して大きく育った要素を残し、ほかは捨てます。この選び方を書き、マスクが落ち着く様子を見て、ランダムなマスクと比べます。
#
# **演習：** ★ は一行、★★ は一工夫、★★★ はまず紙の上で考えるものです。どれにもヒントが二つ折りたたまれています。一つ目は考え方、二つ目はほぼコードです。

# %% lang="en"
LANGUAGE = "en"

# %% lang="ja"
LANGUAGE = "ja"

# %%
from dataclasses import replace

import torch

from lori_core import (
    AdapterConfig, blank, calibrate, figures, learn, load_task, magnitude_masks, mask_id, random_jaccard,
    random_masks, target_modules, training_for,
)
from lori_core.lessons import checks
from lori_core.lessons.by_hand import by_module, column
from lori_core.lessons.controls import judge
from lori_core.lessons.showing import embedded_base, guessed, say, score, show

# %% [markdown] lang="en"
# ## Exercise 1: keep the largest ★★
#
# Return a mask of `B`'s shape that is True at the `round((1 − sparsity) · N)` entries that are largest in size.
#
# <details><summary>Hint 1: the idea</summary>
#
# Large means large |B|, whatever the sign. Rank all entries as one flat list. How many stay?
# </details>
#
# <details><summary>Hint 2: nearly the code</summary>
#
# `B.abs().flatten().topk(k).indices` are the places. Set `mask[places] = True`, then `mask.view(B.shape)`.
# </details>

# %% [markdown] lang="ja"
# ## 演習 1：大きいものを残す ★★
#
# `B` と同じ形で、大きさが上位 `round((1 − sparsity) · N)` 個の要素だけが True のマスクを返してください。
#
# <details><summary>ヒント 1：考え方</summary>
#
# 大きいとは、符号によらず |B| が大きいことです。全要素を一列に並べて順位をつけます。いくつ残るでしょうか。
# </details>
#
# <details><summary>ヒント 2：ほぼコード</summary>
#
# 場所は `B.abs().flatten().topk(k).indices` です。`mask[場所] = True` とし、`mask.view(B.shape)` で形を戻します。
# </details>

# %% tags=["exercise"]
def keep_largest(B, sparsity):
    mask = torch.zeros(B.numel(), dtype=torch.bool)
    # solution
    k = round((1 - sparsity) * B.numel())
    mask[B.abs().flatten().topk(k).indices] = True
    mask = mask.view(B.shape)
    return mask
    # end

# %% tags=["check"]
checks.keep_largest(keep_largest, LANGUAGE)

# %% [markdown] lang="en"
# ## Exercise 2: how alike are two masks? ★
#
# The Jaccard index: entries that **both** keep, over entries that **either** keeps. 1 is the same mask.
#
# <details><summary>Hint 1: the idea</summary>
#
# Count two kinds of entries: those that both masks keep, and those that at least one of them keeps.
# </details>
#
# <details><summary>Hint 2: nearly the code</summary>
#
# For masks `&` is both and `|` is either: `(mask_s & mask_t).sum() / ...`.
# </details>

# %% [markdown] lang="ja"
# ## 演習 2：二つのマスクはどれほど似ているか ★
#
# Jaccard 係数は、**両方**が残す要素の数を、**少なくとも一方**が残す要素の数で割ったものです。1 なら同じマスクです。
#
# <details><summary>ヒント 1：考え方</summary>
#
# 二種類の要素を数えます。両方のマスクが残す要素と、少なくとも一方が残す要素です。
# </details>
#
# <details><summary>ヒント 2：ほぼコード</summary>
#
# マスクでは `&` が「両方」、`|` が「少なくとも一方」です：`(mask_s & mask_t).sum() / ...`
# </details>

# %% tags=["exercise"]
def jaccard(mask_s, mask_t):
    value = (mask_s & mask_t).sum() / (mask_s | mask_t).sum()  # solution
    return value

# %% tags=["check"]
checks.jaccard(jaccard, LANGUAGE)

# %% [markdown] lang="en"
# ## The method on one page
#
# What you have just written is the heart of `learn`, which is LoRI: draw `A`, train all of `B`, keep the largest entries, train those from zero. Open it. Which call ranks the entries, and where does `B` go back to zero?

# %% [markdown] lang="ja"
# ## 手法を一ページで
#
# いま書いたものは、LoRI そのものである `learn` の中心です。`A` を生成し、`B` の全体を学習し、大きい要素を残し、それらを 0 から学習します。中を開いてみましょう。要素に順位をつけるのはどの呼び出しでしょうか。`B` が 0 に戻るのはどこでしょうか。

# %%
import inspect

say(f"```python\n{inspect.getsource(learn)}```")

# %% [markdown] lang="en"
# ## Calibrate
#
# Sixteen steps over all of `B` on small sums told as stories. Every five steps the library notes which mask would come out now.

# %% [markdown] lang="ja"
# ## キャリブレーション
#
# 短い計算の文章題で、`B` 全体を 16 ステップ学習します。5 ステップごとに、今ならどのマスクになるかをライブラリーが記録します。

# %%
base, task = embedded_base(LANGUAGE), load_task("math")
shapes = target_modules(base.model)
config, recipes = AdapterConfig(sparsity=0.9), training_for("embedded")
dense, sparse = (recipes[method].changed(steps=16, batch_size=8) for method in ("lori_d", "lori_s"))
start = blank(task.name, shapes, config.changed(sparsity=0.0))
found = calibrate(base, task, start, config, dense)
show(figures.mask_settling([found.report], LANGUAGE))

# %% [markdown] lang="en" tags=["prediction"]
# ## Predict
#
# All maps compete for the kept entries, so some maps get more than others. On average 10 % of a map's entries are kept. **What share does the map keep that got most, in percent?**

# %% [markdown] lang="ja" tags=["prediction"]
# ## 予想
#
# 残す要素はすべての写像が競い合うので、写像によって割合が違います。平均は 10 % です。**最も多く残った写像では、何パーセントでしょうか。**

# %%
guess = None

# %%
guessed("fullest_map", guess, 100 * max(found.report.kept.values()), LANGUAGE)

# %% [markdown] lang="en"
# Change the sparsity with the slider: one dense run has the mask of every sparsity. Which maps still keep something where the mask is smallest?

# %% [markdown] lang="ja"
# スライダーでスパース率を変えてみてください。一度の学習から、どのスパース率のマスクも取れます。マスクが最も小さいとき、まだ要素が残る写像はどれでしょうか。

# %%
def at_sparsity(sparsity):
    masks = magnitude_masks(found.movement, sparsity)
    kept = {module: float(mask.float().mean()) for module, mask in masks.items()}
    return figures.mask(replace(found.report, sparsity=sparsity, kept=kept), LANGUAGE)


show(figures.slider("sparsity", {each: at_sparsity(each) for each in (0.5, 0.8, 0.9, 0.95, 0.99)}, 0.9, LANGUAGE))

# %% [markdown] lang="en"
# Global ranking (`"model"`) lets the maps compete; `"matrix"` gives each the same share. How many entries do the masks have in common? The same dense run serves all, so this costs nothing. The global one is made by **your** `keep_largest`, from one long column with the entries of all maps, and **your** `jaccard` compares.

# %% [markdown] lang="ja"
# 全体での順位（`"model"`）では写像どうしが競い、`"matrix"` ではどの写像も同じ割合になります。マスクどうしはどれだけ共通するでしょうか。同じ学習結果から選ぶだけなので、追加の学習は要りません。全体での順位によるマスクは、全写像の要素を一列に並べて**あなたの** `keep_largest` で作り、**あなたの** `jaccard` で比べます。

# %%
def largest_of(movement, sparsity):
    return by_module(keep_largest(column(movement), sparsity), movement)


def alike(masks_s, masks_t):
    return float(jaccard(column(masks_s), column(masks_t)))


yours = largest_of(found.movement, 0.9)
granularities = ("model", "kind", "projection", "layer", "matrix")
by_granularity = {each: magnitude_masks(found.movement, 0.9, each) for each in granularities}
{granularity: round(alike(yours, masks), 3) for granularity, masks in by_granularity.items()}

# %% [markdown] lang="en"
# ## Exercise 3: the control ★★
#
# A mask that keeps as many entries as a given one, at places that chance picks. `order` is a random order of all places (0 to N − 1, of the flat mask): return a mask of the same shape that keeps the places that come **first** in it.
#
# <details><summary>Hint 1: the idea</summary>
#
# It is `keep_largest` with another order: count what the mask keeps, and keep as many, where the order says.
# </details>
#
# <details><summary>Hint 2: nearly the code</summary>
#
# `k = int(mask.sum())`, and the places are `order[:k]`. Set them in a flat mask of False, then give it the shape of `mask`.
# </details>

# %% [markdown] lang="ja"
# ## 演習 3：対照条件 ★★
#
# あるマスクと同じ数の要素を、偶然が選ぶ場所に残すマスクです。`order` は、（平らにしたマスクの）全場所 0〜N − 1 をランダムに並べたものです。その**最初**の場所を残す、同じ形のマスクを返してください。
#
# <details><summary>ヒント 1：考え方</summary>
#
# `keep_largest` と同じで、順序だけが違います。マスクが残す数を数え、同じ数を、順序が示す場所に残します。
# </details>
#
# <details><summary>ヒント 2：ほぼコード</summary>
#
# `k = int(mask.sum())` とすると、場所は `order[:k]` です。False だけの平らなマスクでそこを True にし、`mask` の形に戻します。
# </details>

# %% tags=["exercise"]
def scattered(mask, order):
    random_mask = torch.zeros(mask.numel(), dtype=torch.bool)
    # solution
    random_mask[order[: int(mask.sum())]] = True
    random_mask = random_mask.view(mask.shape)
    return random_mask
    # end

# %% tags=["check"]
checks.scattered(scattered, LANGUAGE)

# %% [markdown] lang="en" tags=["control"]
# ## A control that should lose: a mask drawn at random
#
# The same number of entries as **your** `keep_largest` keeps, anywhere. A third mask is random too, but **your** `scattered` keeps as many entries in each map as the calibrated one: that parts *how many* from *which*. All adapters train for the same 16 steps. Does it matter which entries move? Two tasks are asked: the sums, most of which this base has practised, and questions about a world at a level that the base has to be **taught** (`nlu?level=5`).

# %% [markdown] lang="ja" tags=["control"]
# ## 成績が落ちるはずの対照条件：ランダムなマスク
#
# **あなたの** `keep_largest` が残すのと同じ数の要素を、場所を選ばずに残します。三つ目のマスクもランダムですが、**あなたの** `scattered` が、写像ごとの要素数をキャリブレーションしたマスクに合わせます。これで*数*の効果と*位置*の効果を分けられます。どのアダプターも同じ 16 ステップだけ学習します。どの要素が動くかは、大事でしょうか。二つのタスクで試します。ベースが大部分を練習済みの計算と、ベースに**教える**必要があるレベルの、世界についての質問（`nlu?level=5`）です。

# %%
SPARSITY = 0.95


def matched(masks):
    chance = torch.Generator().manual_seed(0)
    return {m: scattered(mask, torch.randperm(mask.numel(), generator=chance)) for m, mask in masks.items()}


of_B = {module: (out_features, config.rank) for module, (out_features, _) in shapes.items()}


def scored_with(task, masks, sparsity=SPARSITY):
    settings = config.changed(sparsity=sparsity)
    return score(base, learn(base, task, "lori_s", settings, {"lori_s": sparse}, masks=masks).adapter, [task])


def with_each_mask(task, movement):
    largest = largest_of(movement, SPARSITY)
    masks = {"random_mask": random_masks(of_B, SPARSITY, seed=0), "matched_mask": matched(largest)}
    return {name: scored_with(task, each) for name, each in (masks | {"calibrated": largest}).items()}


taught = load_task("nlu?level=5")
start_taught = blank(taught.name, shapes, config.changed(sparsity=0.0))
practised_scores = with_each_mask(task, found.movement)
taught_scores = with_each_mask(taught, calibrate(base, taught, start_taught, config, dense).movement)

# %%
show(figures.compared_scores({"base": score(base, None, [task])} | practised_scores, LANGUAGE))

# %%
show(figures.compared_scores({"base": score(base, None, [taught])} | taught_scores, LANGUAGE))

# %%
show(figures.mask_gain(taught_scores, LANGUAGE))

# %%
practised = judge(practised_scores["calibrated"], practised_scores["random_mask"])
has_to_learn = judge(taught_scores["calibrated"], taught_scores["random_mask"])
which = judge(taught_scores["calibrated"], taught_scores["matched_mask"])

# %% lang="en" tags=["said"]
say(
    f"At a sparsity of {SPARSITY:.0%}, on the practised task: {practised.said('calibrated', 'random', LANGUAGE)} "
    + {
        "shown": "Here it matters which entries move.",
        "not_shown": "So a good score does not prove that the mask is a good one: an adapter has to remind this base more than to teach it.",
        "opposite": "The entries that grew largest in a calibration as short as this are **not** the ones to train: a good score does not prove that the mask is a good one.",
    }[practised.verdict]
    + f" On the task that has to be taught: {has_to_learn.said('calibrated', 'random', LANGUAGE)} "
    + {
        "shown": "There the control loses, as it should.",
        "not_shown": "There too it is not shown that the entries matter.",
        "opposite": "There too the random mask wins.",
    }[has_to_learn.verdict]
    + f" Is it which entries, or how many in each map? {which.said('calibrated', 'random with as many in each map', LANGUAGE)}"
)

# %% lang="ja" tags=["said"]
say(
    f"スパース率 {SPARSITY:.0%}、練習済みのタスクでは：{practised.said('キャリブレーションしたマスク', 'ランダムなマスク', LANGUAGE)}"
    + {
        "shown": "ここでは、どの要素が動くかが大事です。",
        "not_shown": "スコアがよくても、マスクがよいとは限りません。このベースには、教えるというより、思い出させるだけで足りるからです。",
        "opposite": "これほど短いキャリブレーションで大きく育った要素は、学習すべき要素では**ありません**。スコアがよくても、マスクがよいとは限りません。",
    }[practised.verdict]
    + f"教える必要があるタスクでは：{has_to_learn.said('キャリブレーションしたマスク', 'ランダムなマスク', LANGUAGE)}"
    + {
        "shown": "こちらでは、対照条件は予想どおり負けました。",
        "not_shown": "こちらでも、どの要素かが大事だとは言えません。",
        "opposite": "こちらでも、ランダムなマスクが勝ちました。",
    }[has_to_learn.verdict]
    + f"大事なのは、どの要素かでしょうか、それとも写像ごとの数でしょうか。{which.said('キャリブレーションしたマスク', '写像ごとの数を合わせたランダムなマスク', LANGUAGE)}"
)

# %% [markdown] lang="en" tags=["surprise"]
# ## Longer, so better?
#
# Sixteen steps are few. Calibrate the practised task for sixty, keep one entry in a hundred (a sparsity of `0.99`), and train them for the same sixteen steps as before. **Predict: how much higher is the score than with as many entries of the short calibration?** (0: no higher, a negative number: lower. The scores go from 0 to 1.)

# %% [markdown] lang="ja" tags=["surprise"]
# ## 長いほど、よいのか
#
# 16 ステップは短いものです。練習済みのタスクで 60 ステップのキャリブレーションを行い、百個に一個の要素を残し（スパース率 `0.99`）、先ほどと同じ 16 ステップだけ学習します。**スコアは、短いキャリブレーションで同じ数を残したマスクより、どれだけ高くなるでしょうか。**（0 なら同じ、負の数なら低くなります。スコアは 0 から 1 です）

# %%
longer_guess = None

# %%
longer = calibrate(base, task, start, config, dense.changed(steps=60))
by_length = {"calibrated_16": found, "calibrated": longer}
masks = {name: largest_of(each.movement, 0.99) for name, each in by_length.items()}
masks |= {"random_mask": random_masks(of_B, 0.99, seed=0)}
at_99 = {name: scored_with(task, each, 0.99) for name, each in masks.items()}
gain = at_99["calibrated"][task.name].value - at_99["calibrated_16"][task.name].value
guessed("longer_calibration", longer_guess, gain, LANGUAGE)

# %%
show(figures.compared_scores(at_99, LANGUAGE))

# %%
long_at_95 = scored_with(task, largest_of(longer.movement, SPARSITY))
better = {0.99: judge(at_99["calibrated"], at_99["calibrated_16"])}
better |= {0.95: judge(long_at_95, practised_scores["calibrated"])}
than_chance = judge(at_99["calibrated"], at_99["random_mask"])
always = all(each.verdict == "shown" for each in better.values())

# %% lang="en" tags=["said"]
say(
    " ".join(f"At a sparsity of {sparsity:g}: {each.said('calibrated for 60 steps', 'for 16', LANGUAGE)}" for sparsity, each in better.items())
    + (" Here the longer run finds the better mask both times." if always else " That longer is always better is **not shown**: a mask that has settled is not yet one that scores.")
    + f" And against chance, at 0.99: {than_chance.said('calibrated for 60 steps', 'random', LANGUAGE)}"
)

# %% lang="ja" tags=["said"]
say(
    "".join(f"スパース率 {sparsity:g} では：{each.said('60 ステップのマスク', '16 ステップのマスク', LANGUAGE)}" for sparsity, each in better.items())
    + ("ここでは、どちらでも、長い学習のほうがよいマスクを見つけました。" if always else "いつでも長いほどよいとは**言えません**。落ち着いたマスクが、よいスコアのマスクとは限らないからです。")
    + f"偶然と比べると、0.99 では：{than_chance.said('60 ステップのマスク', 'ランダムなマスク', LANGUAGE)}"
)

# %% [markdown] lang="en"
# ## How many examples, and how good?
#
# Now the data. The mask of all examples is the yardstick. How close do masks from few examples come, and what do wrong answers do: the same questions, with the answers shuffled among them?

# %% [markdown] lang="ja"
# ## 例はいくつ必要で、質はどれほど大事か
#
# 次はデータです。全データのマスクを基準にします。少ない例から作ったマスクはどこまで近づくでしょうか。答えが間違っていたら（同じ質問に、答えを入れ替えて付けたら）どうなるでしょうか。

# %%
def shuffled(split):
    examples = task.examples(split)
    return [replace(example, response=other.response) for example, other in zip(examples, examples[7:])]


def agreement(data, examples):
    settings = dense.changed(examples=examples, seed=1)
    return alike(largest_of(calibrate(base, data, start, config, settings).movement, 0.9), yours)


everything = len(task.examples("train"))
good = {count: agreement(task, count) for count in (4, 32, everything)}  # the last: in another order
wrong = {everything: agreement(replace(task, load=shuffled), everything)}
show(figures.dial("examples", {"good_data": good, "shuffled": wrong}, LANGUAGE))

# %%
chance, seen = random_jaccard(0.9), dense.steps * dense.batch_size

# %% lang="en" tags=["said"]
say(
    f"First what order and chance do: all {everything:,} examples in another order agree to {good[everything]:.2f} with the yardstick, two random masks to {chance:.3f}. "
    f"A run reads only {seen} of them, so a mask so early in training depends on which came first. 4 examples, read again and again, reach {good[4]:.2f}, 32 reach {good[32]:.2f}; "
    f"with shuffled answers it is {wrong[everything]:.2f}. "
    + (
        "Wrong answers lead to another mask: which entries grow depends on what is learned. "
        if wrong[everything] < 0.8 * good[everything]
        else "Wrong answers change the mask little here: much of what grows serves the form of the answer, which is still right. "
    )
)

# %% lang="ja" tags=["said"]
say(
    f"まず、順序と偶然の影響です。全部で {everything:,} 個の例を別の順で使うと、基準との一致は {good[everything]:.2f}、ランダムなマスクどうしでは {chance:.3f} です。"
    f"一回の学習で読むのはそのうち {seen} 個だけなので、学習初期のマスクは、先に読んだ例に左右されます。4 個の例を繰り返し読むと {good[4]:.2f}、32 個では {good[32]:.2f}、"
    f"答えを混ぜると {wrong[everything]:.2f} になります。"
    + (
        "間違った答えからは、別のマスクができます。どの要素が育つかは、何を学ぶかで決まります。"
        if wrong[everything] < 0.8 * good[everything]
        else "ここでは、答えが間違っていてもマスクはあまり変わりません。育つ要素の多くは、正しいままの「答えの形式」に使われているためです。"
    )
)

# %% [markdown] lang="en"
# ## Try it yourself
#
# - One random mask may be lucky. Take another, `random_masks(of_B, 0.99, seed=1)`: does it do as well?
# - Calibrate on `load_task("code")` and compare its mask with this one: `alike`. Is it more than chance?
# - `calibrate(..., stop_when_stable=True)` ends when the mask has settled. How many of 60 steps does it save, and how close is its mask to that of all 60?
# - A mask has a name: `mask_id(found.masks)`. Run the calibration again. Is the name the same?
#
# ## What this does not show
#
# That the kept entries are *needed*: they grew most, which is not the same. And a settled mask may still differ under another seed. One task, one seed and a base that has practised most of it are not evidence about large models; there, measure again with the same few calls.

# %% [markdown] lang="ja"
# ## やってみよう
#
# - 一つのランダムなマスクは、運がよかっただけかもしれません。別のもの `random_masks(of_B, 0.99, seed=1)` でも、同じくらいの結果になりますか。
# - `load_task("code")` でキャリブレーションし、このマスクと `alike` で比べてください。偶然より大きいですか。
# - `calibrate(..., stop_when_stable=True)` は、マスクが落ち着いたら終わります。60 ステップのうち何ステップ減り、60 ステップのマスクとどれだけ一致しますか。
# - マスクには名前があります：`mask_id(found.masks)`。もう一度キャリブレーションすると、同じ名前になりますか。
#
# ## ここからはわからないこと
#
# 残した要素が*必要*だということは、わかりません。大きく育ったことと、必要なことは別です。落ち着いたマスクも、シードが変われば違うかもしれません。一つのタスク、一つのシード、タスクの大部分を練習済みのベースでは、大きなモデルの証拠にはなりません。大きなモデルでは、同じ数行で測り直してください。

# %% [markdown] lang="en" tags=["answer"]
# ## Answers to "Try it yourself"

# %% [markdown] lang="ja" tags=["answer"]
# ## 「やってみよう」の答え

# %% tags=["answer"]
another = scored_with(task, random_masks(of_B, 0.99, seed=1), 0.99)
lucky = judge(at_99["random_mask"], another)

# %% tags=["answer"]
code = load_task("code")
other = calibrate(base, code, blank(code.name, shapes, config.changed(sparsity=0.0)), config, dense)
of_code = alike(largest_of(other.movement, 0.9), yours)
early = calibrate(base, task, start, config, dense.changed(steps=60), stop_when_stable=True)
steps, as_long = early.report.training.steps, alike(early.masks, longer.masks)
ids = [mask_id(each.masks)[:12] for each in (found, calibrate(base, task, start, config, dense))]

# %% lang="en" tags=["answer", "said"]
say(
    f"- **Another random mask.** {lucky.said('the first random mask', 'the second', LANGUAGE)}\n"
    f"- **Masks of two tasks.** They agree to {of_code:.2f}, by chance to {chance:.3f}: {'much grows in the same entries whatever is learned.' if of_code > 2 * chance else 'hardly more.'}\n"
    f"- **Stopping early.** The run ends after {steps} of 60 steps, and its mask agrees to {as_long:.2f} with that of all 60.\n"
    f"- **The name.** {ids[0]} and {ids[1]}: {'the same, since the name is made of the bits and the run is the same to the last bit.' if ids[0] == ids[1] else 'not the same, so this machine does not repeat a run to the last bit.'}"
)

# %% lang="ja" tags=["answer", "said"]
say(
    f"- **別のランダムなマスク。** {lucky.said('一つ目のランダムなマスク', '二つ目', LANGUAGE)}\n"
    f"- **二つのタスクのマスク。** 一致は {of_code:.2f}、偶然なら {chance:.3f} です。{'何を学ぶかによらず、同じ要素がよく育ちます。' if of_code > 2 * chance else '偶然とほとんど変わりません。'}\n"
    f"- **早く終える。** 60 ステップのうち {steps} ステップで終わり、60 ステップのマスクとの一致は {as_long:.2f} です。\n"
    f"- **名前。** {ids[0]} と {ids[1]} です。{'名前はマスクのビットから作られ、学習はビット単位で再現されるので、同じになります。' if ids[0] == ids[1] else '同じではありません。この環境では、学習がビット単位では再現されません。'}"
)
