# %% [markdown] lang="en" tags=["question"]
# # 4 · Train LoRI-D and LoRI-S
#
# **Question: what do you pay, in score, bytes and optimizer state, for training a tenth of B?**
#
# Three adapters of the same task, each at its own learning rate: LoRA (A and B), LoRI-D (all of B), LoRI-S (the entries that a mask keeps).
#
# **Exercises:** ★ one line · ★★ one idea and a line or two · ★★★ think on paper first. Each has two folded hints: the idea, then nearly the code.

# %% [markdown] lang="ja" tags=["question"]
# # 4 · LoRI-D と LoRI-S を学習する
#
# **問い：B の一割だけを学習すると、スコア、バイト数、オプティマイザーの状態はどう変わるのでしょうか。**
#
# 同じタスクのアダプターを三つ、それぞれに合った学習率で学習します：LoRA（A と B）、LoRI-D（B の全体）、LoRI-S（マスクが残す要素）。
#
# **演習：** ★ は一行、★★ は一工夫、★★★ はまず紙の上で考えるものです。どれにもヒントが二つ折りたたまれています。一つ目は考え方、二つ目はほぼコードです。

# %% lang="en"
LANGUAGE = "en"

# %% lang="ja"
LANGUAGE = "ja"

# %%
import math
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from lori_core import (
    AdapterConfig, LoRILinear, TrainConfig, blank, calibrate, figures, learn, load_task, magnitude_masks,
    ready_made, save_adapter, target_modules, training_for,
)
from lori_core.lessons import checks
from lori_core.lessons.by_hand import trained_by
from lori_core.lessons.controls import judge
from lori_core.lessons.showing import embedded_base, guessed, percent, say, score, show

# %% [markdown] lang="en"
# ## Exercise 1: one masked step ★★
#
# The whole of LoRI-S is this: entries outside the mask do not move. Write one step of gradient descent on `B`.
#
# <details><summary>Hint 1: the idea</summary>
#
# An entry stays as it is where its step is zero. So which of the two does the mask multiply: B, or what is taken away from it?
# </details>
#
# <details><summary>Hint 2: nearly the code</summary>
#
# Plain descent is `B - learning_rate * gradient`. Put the mask in front of the gradient.
# </details>

# %% [markdown] lang="ja"
# ## 演習 1：マスク付きの 1 ステップ ★★
#
# LoRI-S の要点は一つです。マスクの外の要素は動きません。`B` に対する勾配降下の 1 ステップを書いてください。
#
# <details><summary>ヒント 1：考え方</summary>
#
# 動かす量が 0 なら、要素は元のまま残ります。では、マスクを掛けるのは B でしょうか、B から引くものでしょうか。
# </details>
#
# <details><summary>ヒント 2：ほぼコード</summary>
#
# 普通の勾配降下は `B - learning_rate * gradient` です。勾配の前にマスクを掛けます。
# </details>

# %% tags=["exercise"]
def masked_step(B, gradient, mask, learning_rate):
    B_after = B - learning_rate * mask * gradient  # solution
    return B_after

# %% tags=["check"]
checks.masked_step(masked_step, LANGUAGE)

# %% [markdown] lang="en"
# ## Exercise 2: what the optimizer keeps ★
#
# AdamW keeps, for each value that it trains, a running mean of the gradient and one of its square, both as 32-bit numbers. How many bytes are that?
#
# <details><summary>Hint 1: the idea</summary>
#
# Two numbers for each value that is trained, each of 32 bits. How many bits has a byte?
# </details>
#
# <details><summary>Hint 2: nearly the code</summary>
#
# 2 numbers · 4 bytes · `trained`.
# </details>

# %% [markdown] lang="ja"
# ## 演習 2：オプティマイザーが持つもの ★
#
# AdamW は、学習する値ごとに、勾配の移動平均と、その二乗の移動平均を 32 ビット数で持ちます。何バイトになるでしょうか。
#
# <details><summary>ヒント 1：考え方</summary>
#
# 学習する値ごとに、32 ビットの数が二つです。1 バイトは何ビットでしょうか。
# </details>
#
# <details><summary>ヒント 2：ほぼコード</summary>
#
# 二つの数 × 4 バイト × `trained` です。
# </details>

# %% tags=["exercise"]
def adam_bytes(trained):
    count = 2 * 4 * trained  # solution
    return count

# %% tags=["check"]
checks.adam_bytes(adam_bytes, LANGUAGE)

# %% [markdown] lang="en"
# ## Exercise 3: what it costs to say where ★★★
#
# LoRI-S stores few values, but also **where** they stand. Where every entry is as likely to be kept as any other, nothing shorter says so than the mask's entropy: of each entry H(p) = −p log₂ p − (1 − p) log₂ (1 − p) bits, p being the share that is kept. How many **bytes** are that?
#
# <details><summary>Hint 1: the idea</summary>
#
# Each entry of the mask is a coin that shows True with chance p = 1 − sparsity. Both sides of the coin tell something, and a byte has 8 bits.
# </details>
#
# <details><summary>Hint 2: nearly the code</summary>
#
# `p = 1 - sparsity`; bits an entry: `-(p * math.log2(p) + (1 - p) * ...)`; times `entries`, over 8.
# </details>

# %% [markdown] lang="ja"
# ## 演習 3：場所を書くのに必要な大きさ ★★★
#
# LoRI-S は少数の値のほかに、それが**どこにあるか**も保存します。どの要素も同じ確率で残るなら、最も短く書いたマスクの大きさはエントロピーです。残す割合を p とすると、一要素あたり H(p) = −p log₂ p − (1 − p) log₂ (1 − p) ビットです。何**バイト**になるでしょうか。
#
# <details><summary>ヒント 1：考え方</summary>
#
# マスクの要素は、確率 p = 1 − スパース率 で True が出るコインと同じです。どちらの面にも情報があります。1 バイトは 8 ビットです。
# </details>
#
# <details><summary>ヒント 2：ほぼコード</summary>
#
# `p = 1 - sparsity` とすると、一要素あたり `-(p * math.log2(p) + (1 - p) * ...)` ビットです。`entries` を掛け、8 で割ります。
# </details>

# %% tags=["exercise"]
def mask_bytes(entries, sparsity):
    # solution
    p = 1 - sparsity
    bits = -(p * math.log2(p) + (1 - p) * math.log2(1 - p))
    return entries * bits / 8
    # end

# %% tags=["check"]
checks.mask_bytes(mask_bytes, LANGUAGE)

# %% [markdown] lang="en"
# ## Train
#
# Twenty steps of eight examples go far here, because the base has practised most of this task under another prompt. The learning rates were searched on validation for each method, with longer trainings than these: a frozen `A` wants a higher one than LoRA, and few entries want a still higher one.

# %% [markdown] lang="ja"
# ## 学習
#
# ここでは、8 例ずつ 20 ステップでもかなり学習できます。このベースは、別のプロンプトで、このタスクの大部分を練習しているからです。学習率は、これより長い学習で、手法ごとに検証データを使って探したものです。`A` を固定すると LoRA より高い学習率が合い、要素が少ないとさらに高い学習率が合います。

# %%
base, task = embedded_base(LANGUAGE), load_task("code")
rates = {method: training_for("embedded")[method].learning_rate for method in ("lora", "lori_d", "lori_s")}
training = {method: TrainConfig(learning_rate=rate, steps=20, batch_size=8) for method, rate in rates.items()}
config, shapes = AdapterConfig(sparsity=0.9), target_modules(base.model)
all_of_B = blank(task.name, shapes, config.changed(sparsity=0.0))
calibrated = calibrate(base, task, all_of_B, config, training["lori_d"])  # is LoRI-D, and gives LoRI-S its mask
dense_run = {"lora": None, "lori_d": calibrated, "lori_s": calibrated}
learned = {m: learn(base, task, m, config, training, calibrated=dense_run[m]) for m in rates}

# %% [markdown] lang="en" tags=["prediction"]
# ## Predict
#
# **How many bytes will the file of the LoRI-S adapter take, as a share of LoRA's, in percent?** (It stores few values, but also where they stand.)

# %% [markdown] lang="ja" tags=["prediction"]
# ## 予想
#
# **LoRI-S のアダプターのファイルは、LoRA の何パーセントの大きさになるでしょうか。**（値は少数ですが、その位置も保存します）

# %%
guess = None

# %%
def file_bytes(adapter):
    with TemporaryDirectory() as folder:
        save_adapter(adapter, Path(folder) / "adapter")
        return sum(path.stat().st_size for path in Path(folder, "adapter").iterdir())


files = {method: file_bytes(each.adapter) for method, each in learned.items()}
places = mask_bytes(sum(mask.numel() for mask in calibrated.masks.values()), 0.9)  # of LoRI-S
guessed("file_share", guess, 100 * files["lori_s"] / files["lora"], LANGUAGE)

# %%
{
    method: {
        "trained values": each.training.trained_parameters,
        "optimizer bytes": each.training.optimizer_bytes,
        "by your formula": adam_bytes(each.training.trained_parameters),
        "file bytes": files[method],
        "update / weights, %": round(100 * each.update_ratio, 1),
    }
    for method, each in learned.items()
}

# %%
scores = {"base": score(base, None, [task])}
scores |= {method: score(base, each.adapter, [task]) for method, each in learned.items()}
methods = judge(scores["lori_s"], scores["lora"])
show(figures.compared_scores(scores, LANGUAGE))

# %% lang="en" tags=["said"]
say(
    f"LoRI-S trains {percent(learned['lori_s'].training.trained_parameters / learned['lora'].training.trained_parameters)} of LoRA's values, and its file has "
    f"{percent(files['lori_s'] / files['lora'])} of the bytes. By your formula {places / 1000:.0f} of its {files['lori_s'] / 1000:.0f} kB say where the values stand; masks that crowd into some maps can be told in less. Scores: "
    + methods.said("LoRI-S", "LoRA", LANGUAGE)
)

# %% lang="ja" tags=["said"]
say(
    f"LoRI-S が学習する値は LoRA の {percent(learned['lori_s'].training.trained_parameters / learned['lora'].training.trained_parameters)}、"
    f"ファイルは {percent(files['lori_s'] / files['lora'])} です。あなたの式によると、{files['lori_s'] / 1000:.0f} kB のうち {places / 1000:.0f} kB は、値がどこにあるかを表します。一部の写像に集まるマスクなら、もっと短く書けます。スコア："
    + methods.said("LoRI-S", "LoRA", LANGUAGE)
)

# %% [markdown] lang="en"
# Outside the mask everything must be exactly zero, not nearly:

# %% [markdown] lang="ja"
# マスクの外は、「ほぼ」ではなく、ちょうど 0 のはずです。

# %%
factors = learned["lori_s"].adapter.factors.values()
outside = sum(int(each.B[~each.mask].count_nonzero()) for each in factors)
{"entries outside the masks": sum(int((~each.mask).sum()) for each in factors), "of them not zero": outside}

# %% [markdown] lang="en"
# ## By your own step
#
# `learn` keeps only the values inside the mask as parameters, and AdamW moves them. Now **your** `masked_step` trains all by itself: every entry of `B` gets a gradient, plain descent takes the steps, and nothing but your function keeps the entries outside the mask where they are.

# %% [markdown] lang="ja"
# ## 自分のステップで
#
# `learn` では、マスクの中の値だけがパラメーターで、AdamW が動かします。今度は、**あなたの** `masked_step` だけで学習します。`B` のすべての要素に勾配があり、普通の勾配降下で進みます。マスクの外の要素を動かさないのは、あなたの関数だけです。

# %%
masks, RATE, STEPS = learned["lori_s"].adapter.masks, 1.0, 12  # plain descent wants a much higher rate than AdamW
by_hand = trained_by(masked_step, base, task, all_of_B, masks, RATE, STEPS)
outside_by_hand = sum(int(f.B[~masks[module]].count_nonzero()) for module, f in by_hand.factors.items())
own_step = score(base, by_hand, [task])[task.name]
{"score": own_step.value, "entries outside the masks that moved": outside_by_hand}

# %% lang="en" tags=["said"]
say(
    f"{STEPS} steps of your function bring the score from {scores['base'][task.name].value:.2f} to {own_step.value:.2f} (95 % interval {own_step.low:.2f} to {own_step.high:.2f}), and {outside_by_hand} entries outside the mask have moved. "
    "What the library saves is not the rule but the memory: no gradient and no optimizer state for what may not move."
)

# %% lang="ja" tags=["said"]
say(
    f"あなたの関数による {STEPS} ステップで、スコアは {scores['base'][task.name].value:.2f} から {own_step.value:.2f} になりました（95 % 信頼区間 {own_step.low:.2f}〜{own_step.high:.2f}）。マスクの外で動いた要素は {outside_by_hand} 個です。"
    "ライブラリーが節約するのは規則ではなく、メモリーです。動かない要素には、勾配もオプティマイザーの状態も持ちません。"
)

# %% [markdown] lang="en" tags=["surprise"]
# ## Sparse, so faster?
#
# A tenth of the entries of `B` is trained. **Predict: how long does one pass through a map take with LoRI-S, forward and back, as a multiple of LoRI-D's time?** (1: as long, 0.1: a tenth.)

# %% [markdown] lang="ja" tags=["surprise"]
# ## 疎なら、速いのか
#
# 学習するのは `B` の要素の一割です。**一つの写像の順伝播と逆伝播にかかる時間は、LoRI-S では LoRI-D の何倍でしょうか。**（1 なら同じ、0.1 なら十分の一）

# %%
speed_guess = None

# %%
def seconds(layer, x):
    start = time.perf_counter()
    layer(x).sum().backward()
    return time.perf_counter() - start


width, x = 1024, torch.randn(512, 1024)
linear = torch.nn.Linear(width, width, bias=False).requires_grad_(False)
A, B = torch.randn(32, width), torch.zeros(width, 32)
tenth = magnitude_masks({"": torch.randn(width, 32)}, 0.9)[""]
layers = [LoRILinear(linear, A, B, mask, 2.0) for mask in (tenth, torch.ones_like(tenth))]
passes = [[seconds(layer, x) for layer in layers] for _ in range(30)]
fastest = [min(times) for times in zip(*passes)]  # of thirty in turn: whatever else runs only slows down
guessed("sparse_speed", speed_guess, fastest[0] / fastest[1], LANGUAGE)

# %% lang="en" tags=["said"]
say(
    f"{1000 * fastest[0]:.2f} ms with a tenth of the entries, {1000 * fastest[1]:.2f} ms with all: {fastest[0] / fastest[1]:.2f} times as long. "
    "What stays of `B` is put into a dense matrix before it is used, and that is multiplied whole. A mask saves values, optimizer state and bytes, and no multiplication."
)

# %% lang="ja" tags=["said"]
say(
    f"要素が一割なら {1000 * fastest[0]:.2f} ms、すべてなら {1000 * fastest[1]:.2f} ms で、{fastest[0] / fastest[1]:.2f} 倍です。"
    "`B` の残った値は、使う前に密な行列に入れられ、その行列全体が掛けられます。マスクが節約するのは、値、オプティマイザーの状態、バイト数であり、掛け算は減りません。"
)

# %% [markdown] lang="en" tags=["control"]
# ## A control that should lose: prune, and do not train
#
# Could one skip the second training: take LoRI-D and set all but the largest tenth of `B` to zero? Here LoRI-D of two tasks (the adapters that ship, which were trained longer) is cut to LoRI-S's share, and further.

# %% [markdown] lang="ja" tags=["control"]
# ## 成績が落ちるはずの対照条件：枝刈りだけで、学習しない
#
# 二度目の学習を省いて、LoRI-D の `B` のうち上位一割だけを残し、ほかを 0 にするのではだめでしょうか。ここでは、二つのタスクの LoRI-D（長めに学習した付属のアダプター）を、LoRI-S と同じ割合と、それより厳しい割合に刈り込みます。

# %%
def pruned(name, sparsity):
    adapter = ready_made(name, "lori_d")
    B = {module: each.B for module, each in adapter.factors.items()}
    return adapter.with_masks(magnitude_masks(B, sparsity))


pair = [load_task("nlu"), load_task("math")]
cut = {s: {t.name: score(base, pruned(t.name, s), [t], 96)[t.name] for t in pair} for s in (0.0, 0.9, 0.97)}
trained = {t.name: score(base, ready_made(t.name, "lori_s"), [t], 96)[t.name] for t in pair}
show(figures.dial("sparsity", {t.name: {s: cut[s][t.name].value for s in cut} for t in pair}, LANGUAGE))

# %%
show(figures.compared_scores({"lori_s": trained, "pruned": cut[0.9]}, LANGUAGE))

# %%
retrained = judge(trained, cut[0.9])
each = {t: judge({t: trained[t]}, {t: cut[0.9][t]}) for t in trained}
harder = judge(cut[0.9], cut[0.97])
agree = len({one.verdict for one in each.values()}) == 1

# %% lang="en" tags=["said"]
say(
    "At 90 %, over both tasks: " + retrained.said("trained", "only pruned", LANGUAGE) + " "
    + " ".join(f"On {t}: {one.said('trained', 'only pruned', LANGUAGE)}" for t, one in each.items())
    + {
        "shown": " On average what is left of B is worth training again without the rest" + (", on both tasks." if agree else "; but the tasks differ, and one of them makes no law."),
        "not_shown": " That it has to be trained again is not shown at this sparsity: the largest entries carry most of the task by themselves.",
        "opposite": " Here the longer run of LoRI-D, cut afterwards, is the better one: training again is not needed.",
    }[retrained.verdict]
    + " How far can one cut? " + harder.said("pruned at 90 %", "pruned at 97 %", LANGUAGE)
)

# %% lang="ja" tags=["said"]
say(
    "スパース率 90 %、二つのタスクの平均：" + retrained.said("学習したもの", "枝刈りだけのもの", LANGUAGE)
    + "".join(f"{t} では：{one.said('学習したもの', '枝刈りだけのもの', LANGUAGE)}" for t, one in each.items())
    + {
        "shown": "平均すると、残した要素を、ほかの要素なしで学習し直す価値があります" + ("（どちらのタスクでも）。" if agree else "。ただし、タスクによって結果が違います。一つのタスクだけでは、法則とは言えません。"),
        "not_shown": "このスパース率では、学習し直す必要があるとは言えません。大きな要素だけで、タスクの大部分をこなせます。",
        "opposite": "ここでは、長く学習した LoRI-D を後から刈ったほうが上でした。学習し直す必要はありません。",
    }[retrained.verdict]
    + "どこまで刈れるのでしょうか。" + harder.said("90 % に枝刈りしたもの", "97 % に枝刈りしたもの", LANGUAGE)
)

# %% [markdown] lang="en"
# ## Learning rates
#
# What if LoRI-S trained at LoRI-D's rate, or at a fiftieth of its own? It has the mask already, so this costs one training each.

# %% [markdown] lang="ja"
# ## 学習率
#
# LoRI-S を、LoRI-D の学習率や、自分の五十分の一の学習率で学習したらどうなるでしょうか。マスクはもうあるので、それぞれ一回の学習で済みます。

# %%
def at_rate(rate):
    settings = {"lori_s": training["lori_s"].changed(learning_rate=rate)}
    again = learn(base, task, "lori_s", config, settings, masks=masks)
    return score(base, again.adapter, [task])["code"]


by_rate = {rate: at_rate(rate) for rate in (rates["lori_s"] / 50, rates["lori_d"])}
by_rate[rates["lori_s"]] = scores["lori_s"]["code"]  # as trained above
own_rate = judge({"code": by_rate[rates["lori_s"]]}, {"code": by_rate[rates["lori_d"]]})
show(figures.dial("rate", {"lori_s": {rate: each.value for rate, each in by_rate.items()}}, LANGUAGE))

# %% lang="en" tags=["said"]
say(
    f"At LoRI-D's rate LoRI-S scores {by_rate[rates['lori_d']].value:.2f}, at its own {by_rate[rates['lori_s']].value:.2f}, "
    f"at a fiftieth of it {by_rate[rates['lori_s'] / 50].value:.2f}. "
    "A comparison at one shared rate may compare the rates more than the methods: search a rate for each. "
    + own_rate.said("LoRI-S at its own rate", "at LoRI-D's", LANGUAGE)
    + ("" if own_rate.verdict == "shown" else " And search it for the training that you run: its rate was searched with longer trainings than this one.")
)

# %% lang="ja" tags=["said"]
say(
    f"LoRI-S のスコアは、LoRI-D の学習率で {by_rate[rates['lori_d']].value:.2f}、自分の学習率で {by_rate[rates['lori_s']].value:.2f}、"
    f"その五十分の一で {by_rate[rates['lori_s'] / 50].value:.2f} です。"
    "一つの学習率で比べると、手法より学習率の比較になりかねません。手法ごとに学習率を探してください。"
    + own_rate.said("自分の学習率での LoRI-S", "LoRI-D の学習率での LoRI-S", LANGUAGE)
    + ("" if own_rate.verdict == "shown" else "また、実際に行う学習の長さで探してください。この学習率は、これより長い学習で探したものです。")
)

# %% [markdown] lang="en"
# ## Try it yourself
#
# - Train for 5 steps in place of 20. Which method suffers most?
# - `AdapterConfig(rank=8, sparsity=0.0)` has fewer values than rank 32. Is a low rank or a high sparsity the better way to save?
#
# ## What this does not show
#
# A ranking of methods: one seed, a short training, and few test examples. The README has three seeds and searched rates.

# %% [markdown] lang="ja"
# ## やってみよう
#
# - 20 ステップの代わりに 5 ステップだけ学習してください。最も影響を受けるのはどの手法ですか。
# - `AdapterConfig(rank=8, sparsity=0.0)` は rank 32 より値が少なくなります。節約するなら、低い rank と高いスパース率のどちらがよいでしょうか。
#
# ## ここからはわからないこと
#
# 手法の順位は、わかりません。シードは一つ、学習は短く、テスト例も少ないからです。README には三つのシードと、探索した学習率での結果があります。

# %% [markdown] lang="en" tags=["answer"]
# ## Answers to "Try it yourself"

# %% [markdown] lang="ja" tags=["answer"]
# ## 「やってみよう」の答え

# %% tags=["answer"]
short = {method: each.changed(steps=5) for method, each in training.items()}
begun = calibrate(base, task, all_of_B, config, short["lori_d"])
after_5 = {m: learn(base, task, m, config, short, calibrated=begun if dense_run[m] else None) for m in rates}
after_5 = {m: score(base, each.adapter, [task]) for m, each in after_5.items()}
lost = {m: scores[m]["code"].value - each["code"].value for m, each in after_5.items()}
sooner = judge(after_5["lori_s"], after_5["lora"])

# %% tags=["answer"]
low = learn(base, task, "lori_d", AdapterConfig(rank=8, sparsity=0.0), training)
low_rank = score(base, low.adapter, [task])
counted = {"rank 8": low.training.trained_parameters, "LoRI-S": learned["lori_s"].training.trained_parameters}
saving = judge(scores["lori_s"], low_rank)

# %% lang="en" tags=["answer", "said"]
say(
    f"- **Five steps.** Lost beside twenty: LoRA {lost['lora']:.2f}, LoRI-D {lost['lori_d']:.2f}, LoRI-S {lost['lori_s']:.2f}. {sooner.said('LoRI-S after five steps', 'LoRA after five steps', LANGUAGE)}\n"
    f"- **Low rank or sparse.** Rank 8 trains {counted['rank 8']:,} values, LoRI-S {counted['LoRI-S']:,}. {saving.said('LoRI-S', 'LoRI-D of rank 8', LANGUAGE)}"
)

# %% lang="ja" tags=["answer", "said"]
say(
    f"- **5 ステップ。** 20 ステップと比べて失われたスコアは、LoRA {lost['lora']:.2f}、LoRI-D {lost['lori_d']:.2f}、LoRI-S {lost['lori_s']:.2f} です。{sooner.said('5 ステップ後の LoRI-S', '5 ステップ後の LoRA', LANGUAGE)}\n"
    f"- **低い rank か、疎か。** rank 8 が学習する値は {counted['rank 8']:,} 個、LoRI-S は {counted['LoRI-S']:,} 個です。{saving.said('LoRI-S', 'rank 8 の LoRI-D', LANGUAGE)}"
)
