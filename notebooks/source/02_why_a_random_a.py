# %% [markdown] lang="en" tags=["question"]
# # 2 · Why a random A
#
# **Question: two tasks learn without knowing of each other. Why should their updates not collide?**
#
# Each task adds its own update `dW = scaling · B A` to the same matrix. If two updates point the same way they add up or cancel. LoRI's answer is to draw each task's `A` at random: in a wide space, random directions are nearly at right angles. You will measure how nearly, and look at what happens without it.
#
# **Exercises:** ★ one line · ★★ one idea and a line or two · ★★★ think on paper first. Each has two folded hints: the idea, then nearly the code.

# %% [markdown] lang="ja" tags=["question"]
# # 2 · なぜ A はランダムなのか
#
# **問い：互いを知らずに学習した二つのタスクの更新は、なぜぶつからないのでしょうか。**
#
# どのタスクも、自分の更新 `dW = scaling · B A` を同じ行列に足します。二つの更新が同じ方向を向けば、強め合ったり打ち消し合ったりします。LoRI の答えは、タスクごとに `A` をランダムに生成することです。広い空間では、ランダムな方向はほとんど直交します。どのくらい直交するのかを測り、そうしない場合も見てみます。
#
# **演習：** ★ は一行、★★ は一工夫、★★★ はまず紙の上で考えるものです。どれにもヒントが二つ折りたたまれています。一つ目は考え方、二つ目はほぼコードです。

# %% lang="en"
LANGUAGE = "en"

# %% lang="ja"
LANGUAGE = "ja"

# %%
import math

import torch

from lori_core import AdapterConfig, LoRIError, cosine_matrix, draw, figures, ready_made, share_of
from lori_core.lessons import checks
from lori_core.lessons.by_hand import cosine_by
from lori_core.lessons.controls import judge, normal
from lori_core.lessons.showing import guessed, say, show

# %% [markdown] lang="en"
# ## Exercise 1: the cosine of two updates ★
#
# Two updates are compared as two long vectors: the sum of products of their entries, over both lengths (Frobenius norms).
#
# <details><summary>Hint 1: the idea</summary>
#
# Think of each matrix as one long list of numbers. A cosine is the inner product over both lengths.
# </details>
#
# <details><summary>Hint 2: nearly the code</summary>
#
# `(dW_s * dW_t).sum()` is the inner product, `dW_s.norm()` the length of all entries together.
# </details>

# %% [markdown] lang="ja"
# ## 演習 1：二つの更新のコサイン ★
#
# 二つの更新を二つの長いベクトルとして比べます。要素どうしの積の和を、両方の長さ（フロベニウスノルム）で割ります。
#
# <details><summary>ヒント 1：考え方</summary>
#
# どちらの行列も、数を並べた一つの長いベクトルと考えます。コサインは、内積を両方の長さで割ったものです。
# </details>
#
# <details><summary>ヒント 2：ほぼコード</summary>
#
# `(dW_s * dW_t).sum()` が内積、`dW_s.norm()` が全要素の長さです。
# </details>

# %% tags=["exercise"]
def cosine(dW_s, dW_t):
    value = (dW_s * dW_t).sum() / (dW_s.norm() * dW_t.norm())  # solution
    return value

# %% tags=["check"]
checks.cosine(cosine, LANGUAGE)

# %% [markdown] lang="en"
# ## Exercise 2: how large, over many draws? ★
#
# One pair of `A` says little, so there will be many cosines, of either sign. Return their **root mean square**, the distance from 0 that is typical.
#
# <details><summary>Hint 1: the idea</summary>
#
# In a mean the signs cancel. What has no sign, and what brings the unit back afterwards?
# </details>
#
# <details><summary>Hint 2: nearly the code</summary>
#
# `sum(each**2 for each in cosines) / len(cosines)`, and of that the root.
# </details>

# %% [markdown] lang="ja"
# ## 演習 2：何度も生成したときの大きさ ★
#
# `A` を一組だけ生成しても、多くはわかりません。そこで、符号がばらばらなコサインがたくさん得られます。0 からの典型的な距離である**二乗平均平方根**を返してください。
#
# <details><summary>ヒント 1：考え方</summary>
#
# 平均を取ると、符号が打ち消し合います。符号をなくすにはどうすればよいでしょうか。そして、単位を元に戻すには。
# </details>
#
# <details><summary>ヒント 2：ほぼコード</summary>
#
# `sum(each**2 for each in cosines) / len(cosines)` の平方根です。
# </details>

# %% tags=["exercise"]
def spread(cosines):
    size = math.sqrt(sum(each**2 for each in cosines) / len(cosines))  # solution
    return size

# %% tags=["check"]
checks.spread(spread, LANGUAGE)

# %% [markdown] lang="en" tags=["prediction"]
# ## Predict
#
# The worst case: both tasks want the **same** `B`, and only their `A` differ, each drawn for its own task. The width is `in_features` = 1024. **How large will the cosine be, roughly?** (1: the same direction, 0: right angles.)

# %% [markdown] lang="ja" tags=["prediction"]
# ## 予想
#
# 最悪の場合を考えます。二つのタスクがまったく**同じ** `B` を必要とし、それぞれのために生成した `A` だけが違うとします。幅 `in_features` は 1024 です。**コサインはどのくらいの大きさになるでしょうか。**（1 は同じ方向、0 は直角）

# %%
guess = None

# %%
RANK, SEEDS = 32, 20


def cosine_of_two_tasks(width, seed, **settings):
    config = AdapterConfig(rank=RANK, projection_seed=seed, **settings)
    slots = [{"slot": slot, "slots": 2} if config.projection == "orthogonal" else {} for slot in (0, 1)]
    named = zip(slots, ("math", "code"))
    A_s, A_t = (draw(config.changed(**slot), task, "a map", width) for slot, task in named)
    B = torch.randn(1024, RANK, generator=torch.Generator().manual_seed(seed))
    return float(cosine(B @ A_s, B @ A_t))


own = {width: [cosine_of_two_tasks(width, seed) for seed in range(SEEDS)] for width in (64, 256, 1024, 4096)}
spreads = {width: spread(cosines) for width, cosines in own.items()}
guessed("cosine", guess, spreads[1024], LANGUAGE)

# %% [markdown] lang="en" tags=["control"]
# ## Look, with a control that should collide
#
# What does chance give? `A_s A_tᵀ` has rank × rank entries, each about 1/√d beside the length of the rows. The trace of `BᵀB` meets only `rank` of them, with random signs, and is divided by `rank` once more: so the standard deviation of the cosine is 1/√(rank · d), for a `B` that is random and much taller than the rank. Rank helps as width does. The band is two standard deviations to either side: about one cosine in twenty should lie **outside**.
#
# Beside it two more: `A` from disjoint rows of one orthogonal matrix, and the control, **one shared `A`** for both tasks.

# %% [markdown] lang="ja" tags=["control"]
# ## 結果と、ぶつかるはずの対照条件
#
# 偶然ではどうなるでしょうか。`A_s A_tᵀ` には rank × rank 個の要素があり、行の長さに比べてそれぞれ 1/√d ほどです。`BᵀB` の対角が掛かるのは、そのうち符号がばらばらな `rank` 個だけで、和はさらに `rank` で割られます。そこで、`B` がランダムで rank よりずっと縦に長いとき、コサインの標準偏差は 1/√(rank · d) になります。幅だけでなく rank も効きます。帯は両側に標準偏差二つ分です。およそ二十個に一個は、帯の**外**に出るはずです。
#
# ほかに二つ並べます。一つの直交行列の別々の行から取った `A` と、対照条件として、二つのタスクで**共有した `A`** です。

# %%
def three(**settings):
    return {width: [cosine_of_two_tasks(width, seed, **settings) for seed in range(3)] for width in own}


orthogonal, shared = three(projection="orthogonal"), three(shared_projection=True)
show(figures.cosines_by_width({"own": own, "orthogonal": orthogonal, "shared": shared}, RANK, LANGUAGE))

# %%
chance = {width: 1 / (RANK * width) ** 0.5 for width in own}
inside = share_of([float(abs(each) < 2 * chance[width]) for width, cosines in own.items() for each in cosines])
IN_BAND = 0.954  # of a normal distribution, within two standard deviations
apart = judge(
    {width: normal(sum(cosines) / len(cosines), 0.0) for width, cosines in shared.items()},
    {width: normal(sum(cosines) / SEEDS, spreads[width] / SEEDS**0.5) for width, cosines in own.items()},
)

# %% lang="en" tags=["said"]
say(
    f"{inside.value * inside.n:.0f} of {inside.n} cosines lie in the band, where theory expects {IN_BAND * inside.n:.0f}: "
    + ("within what chance allows" if inside.low <= IN_BAND <= inside.high else "the theory does **not** fit")
    + f". At width 1024 the spread is {spreads[1024]:.4f}, and 1/√(rank · d) is {chance[1024]:.4f}; from 64 to 1024 the width grows by 16, and the spread shrinks by {spreads[64] / spreads[1024]:.1f}, where theory says 4. "
    f"Orthogonal blocks give {max(abs(c) for cs in orthogonal.values() for c in cs):.1e}, which is zero up to rounding, as long as the ranks of all tasks fit into the width. "
    f"{apart.said('The cosine under one shared A', 'that under an A for each', LANGUAGE)} The same B is then the same update."
)

# %% lang="ja" tags=["said"]
say(
    f"{inside.n} 個のコサインのうち {inside.value * inside.n:.0f} 個が帯に入りました。理論の予想は {IN_BAND * inside.n:.0f} 個で、"
    + ("偶然の範囲内です" if inside.low <= IN_BAND <= inside.high else "理論と**合いません**")
    + f"。幅 1024 でのばらつきは {spreads[1024]:.4f}、1/√(rank · d) は {chance[1024]:.4f} です。幅が 64 から 1024 へ 16 倍になると、ばらつきは約 1/{spreads[64] / spreads[1024]:.1f} になりました（理論値は 1/4）。"
    f"直交するブロックでは {max(abs(c) for cs in orthogonal.values() for c in cs):.1e} で、丸めを除けば 0 です（全タスクの rank の合計が幅に収まる限り）。"
    f"{apart.said('A を共有したときのコサイン', 'タスクごとの A でのコサイン', LANGUAGE)}同じ B なら、同じ更新になるからです。"
)

# %% [markdown] lang="en"
# ## Exercise 3: without forming the update ★★
#
# An update of a large map is large. The inner product of two updates can be had from the factors alone:
#
# $$\langle B_s A_s,\; B_t A_t\rangle = \sum (B_s^\top B_t) \odot (A_s A_t^\top)$$
#
# The formula also says why a random `A` helps: where `A_s A_tᵀ` is small, whatever the Bs want is multiplied by little.
#
# <details><summary>Hint 1: the idea</summary>
#
# Both products of the formula are rank × rank matrices, and ⊙ multiplies them entry by entry.
# </details>
#
# <details><summary>Hint 2: nearly the code</summary>
#
# `(B_s.T @ B_t) * (...)`, and of that the sum of all entries.
# </details>

# %% [markdown] lang="ja"
# ## 演習 3：更新を作らずに計算する ★★
#
# 大きな写像の更新は、それ自体も大きくなります。二つの更新の内積は、因子だけから計算できます。
#
# $$\langle B_s A_s,\; B_t A_t\rangle = \sum (B_s^\top B_t) \odot (A_s A_t^\top)$$
#
# ランダムな `A` が役立つ理由も、この式からわかります。`A_s A_tᵀ` が小さければ、B がどうであれ、小さな数が掛かるからです。
#
# <details><summary>ヒント 1：考え方</summary>
#
# 式の二つの積は、どちらも rank × rank の行列です。⊙ は要素ごとの積です。
# </details>
#
# <details><summary>ヒント 2：ほぼコード</summary>
#
# `(B_s.T @ B_t) * (...)` とし、その全要素を足します。
# </details>

# %% tags=["exercise"]
def inner_product(A_s, B_s, A_t, B_t):
    value = ((B_s.T @ B_t) * (A_s @ A_t.T)).sum()  # solution
    return value

# %% tags=["check"]
checks.inner_product(inner_product, LANGUAGE)

# %%
out_features, in_features, rank = 14336, 4096, 32  # the largest maps of Llama-3-8B
{"entries of an update": out_features * in_features, "entries of its factors": rank * (out_features + in_features)}

# %% [markdown] lang="en" tags=["surprise"]
# ## More rank, more collision?
#
# Once more the worst case: both tasks want the same `B`, the width is 1024. A higher rank gives each task more directions, and so more of them that may meet. **Predict: how large is the spread of the cosine at rank 128, as a multiple of that at rank 1?** (1: the same, 2: twice as large.)

# %% [markdown] lang="ja" tags=["surprise"]
# ## rank が高いほど、ぶつかりやすいのか
#
# もう一度、最悪の場合です。二つのタスクは同じ `B` を必要とし、幅は 1024 です。rank を上げると、各タスクが使う方向が増え、重なりうる組も増えます。**rank 128 でのコサインのばらつきは、rank 1 のときの何倍になるでしょうか。**（1 なら同じ、2 なら二倍）

# %%
rank_guess = None

# %%
def cosines_at(rank, width):
    B, cosines = torch.randn(1024, rank, generator=torch.Generator().manual_seed(rank)), []
    for seed in range(SEEDS):
        config = AdapterConfig(rank=rank, projection_seed=seed)
        A_s, A_t = (draw(config, task, "a map", width) for task in ("math", "code"))
        lengths = inner_product(A_s, B, A_s, B) * inner_product(A_t, B, A_t, B)
        cosines.append(float(inner_product(A_s, B, A_t, B) / lengths**0.5))
    return cosines


in_chance = {rank: spread(cosines_at(rank, 1024)) * math.sqrt(1024) for rank in (1, 4, 16, 64, 128)}
guessed("more_rank", rank_guess, in_chance[128] / in_chance[1], LANGUAGE)

# %%
theory = {rank: rank**-0.5 for rank in in_chance}
show(figures.dial("rank", {"own": in_chance, "theory": theory}, LANGUAGE))

# %% lang="en" tags=["said"]
say(
    f"More rank, **less** collision: the spread times √d falls from {in_chance[1]:.2f} at rank 1 to {in_chance[128]:.2f} at rank 128. Your formula says why. Of the rank² entries of `A_s A_tᵀ` the trace of `BᵀB` meets only the {128} on the diagonal. "
    "Their signs are random, so their sum grows like √rank; the lengths of both updates together grow like rank. What is left is 1/√rank: many chances to meet average out."
)

# %% lang="ja" tags=["said"]
say(
    f"rank が高いほど、**ぶつかりにくく**なります。ばらつきと √d の積は、rank 1 の {in_chance[1]:.2f} から rank 128 の {in_chance[128]:.2f} まで下がりました。理由は、あなたの式からわかります。`A_s A_tᵀ` の rank² 個の要素のうち、`BᵀB` の対角が掛かるのは対角の {128} 個だけです。"
    "符号がばらばらなので、和は √rank に比例して増えます。一方、二つの更新の長さの積は rank に比例して増えます。残るのは 1/√rank です。重なる機会が増えても、平均されて打ち消し合います。"
)

# %% [markdown] lang="en"
# Change the rank with the slider: it shows the same measurement at four widths, with the band of chance.

# %% [markdown] lang="ja"
# スライダーで rank を変えてみてください。四つの幅で同じ測定をした結果と、偶然の帯が変わります。

# %%
def at_rank(rank):
    return figures.cosines_by_width({"own": {w: cosines_at(rank, w) for w in own}}, rank, LANGUAGE)


show(figures.slider("rank", {rank: at_rank(rank) for rank in (1, 4, 16, 64)}, 4, LANGUAGE))

# %% [markdown] lang="en"
# ## Trained adapters
#
# So far `B` was random. Here are adapters that learned four small tasks (they ship with the package): once with an `A` for each task, once with one shared `A`. Their cosines come from **your** `inner_product`, summed over all maps; the figures are the library's, with colours centred on what chance gives.

# %% [markdown] lang="ja"
# ## 学習したアダプター
#
# ここまでの `B` はランダムでした。次は、四つの小さなタスクを学習したアダプターです（パッケージに付属）。タスクごとに `A` を持つものと、一つの `A` を共有したものがあります。コサインは**あなたの** `inner_product` を全写像で足して求めます。図はライブラリーのもので、色の中心は偶然で得られる値です。

# %%
tasks = ("nlu", "math", "code", "safety")
variants = ("lori_d", "lori_d_shared")
adapters = {variant: [ready_made(task, variant) for task in tasks] for variant in variants}
trained = {variant: cosine_matrix(each) for variant, each in adapters.items()}
show(figures.pairs("lori_d", trained["lori_d"], LANGUAGE))

# %%
show(figures.pairs("lori_d_shared", trained["lori_d_shared"], LANGUAGE))

# %%
pairs = [(s, t) for s in range(len(tasks)) for t in range(s)]
yours = {v: {(s, t): cosine_by(inner_product, a[s], a[t]) for s, t in pairs} for v, a in adapters.items()}
differences = [abs(yours[v][s, t] - trained[v].values[s][t]) for v in variants for s, t in pairs]
{"largest difference from the library's": max(differences)}

# %%
def sizes(variant):
    return {(s, t): normal(abs(yours[variant][s, t]), trained[variant].null_sd[s][t]) for s, t in pairs}


sized = {variant: sizes(variant) for variant in variants}
largest = {variant: max(each.value for each in found.values()) for variant, found in sized.items()}
angle = {variant: math.degrees(math.acos(each)) for variant, each in largest.items()}
closer = judge(sized["lori_d_shared"], sized["lori_d"])

# %% lang="en" tags=["said"]
say(
    f"Largest |cosine| between two tasks: {largest['lori_d']:.3f} with an A for each, an angle of {angle['lori_d']:.1f}°; {largest['lori_d_shared']:.3f} with a shared one, {angle['lori_d_shared']:.1f}°. "
    + closer.said("|cosine| under a shared A", "under an A for each", LANGUAGE)
    + " "
    + (
        "Under a shared A the cosine is that of the Bs. So these tasks ask for Bs that are nearly at right angles by themselves: the worst case above, one B for both, is far from what happens here, and even a shared A lets the updates pass."
        if angle["lori_d_shared"] > 80
        else "Under a shared A the cosine is that of the Bs: these tasks ask for similar ones, and an A for each keeps their updates apart."
    )
)

# %% lang="ja" tags=["said"]
say(
    f"二つのタスクの |コサイン| の最大は、タスクごとの A で {largest['lori_d']:.3f}（角度で {angle['lori_d']:.1f}°）、共有した A で {largest['lori_d_shared']:.3f}（{angle['lori_d_shared']:.1f}°）です。"
    + closer.said("共有した A での |コサイン|", "タスクごとの A での値", LANGUAGE)
    + (
        "A を共有すると、コサインは B どうしのコサインになります。つまり、これらのタスクの B は、もともとほぼ直交しています。同じ B を必要とする最悪の場合とは大きく違い、A を共有しても更新はほとんどぶつかりません。"
        if angle["lori_d_shared"] > 80
        else "A を共有すると、コサインは B どうしのコサインになります。これらのタスクは似た B を必要とし、タスクごとの A が更新を離しています。"
    )
)

# %% [markdown] lang="en"
# ## Try it yourself
#
# - Set `RANK = 64` at width 64 with the orthogonal `A`: what does the library say, and why?
# - Give the two tasks opposite Bs (`B` and `-B`). What does the shared `A` give now?
#
# ## What this does not show
#
# Updates at right angles are not yet harmless. For another task's input `x`, `dW x` may be as large as for its own: being orthogonal makes the two changes unrelated, not small. Notebook 5 measures that, and notebook 6 whether merging suffers.

# %% [markdown] lang="ja"
# ## やってみよう
#
# - 幅 64 の直交する `A` で、`RANK` を 64 にしてください。ライブラリーは何と言いますか。それはなぜですか。
# - 二つのタスクに逆向きの B（`B` と `-B`）を与えてください。共有した `A` ではどうなりますか。
#
# ## ここからはわからないこと
#
# 更新が直交していても、無害とは限りません。別のタスクの入力 `x` に対する `dW x` は、自分の入力に対するのと同じくらい大きくなりえます。直交は二つの変化を無関係にするだけで、小さくはしません。それはノートブック 5 で測り、マージへの影響はノートブック 6 で見ます。

# %% [markdown] lang="en" tags=["answer"]
# ## Answers to "Try it yourself"

# %% [markdown] lang="ja" tags=["answer"]
# ## 「やってみよう」の答え

# %% tags=["answer"]
try:
    draw(AdapterConfig(rank=64, projection="orthogonal", slot=1, slots=2), "code", "a map", 64)
    refused = "-"
except LoRIError as error:
    refused = error.in_language(LANGUAGE)
A = draw(AdapterConfig(rank=RANK, shared_projection=True), "math", "a map", 1024)
B = torch.randn(1024, RANK, generator=torch.Generator().manual_seed(0))
opposite = float(cosine(B @ A, -B @ A))

# %% lang="en" tags=["answer", "said"]
say(
    f"- **Orthogonal at width 64.** The library refuses: “{refused}” Two tasks of rank 64 want {2 * 64} rows at right angles, and a space of 64 dimensions has 64.\n"
    f"- **Opposite Bs.** The cosine under the shared `A` is {opposite:.2f}: merged, the two tasks cancel."
)

# %% lang="ja" tags=["answer", "said"]
say(
    f"- **幅 64 の直交する A。** ライブラリーは断ります：「{refused}」rank 64 のタスク二つには互いに直交する {2 * 64} 行が必要ですが、64 次元の空間には 64 行しかありません。\n"
    f"- **逆向きの B。** 共有した `A` でのコサインは {opposite:.2f} です。マージすると、二つのタスクは打ち消し合います。"
)
