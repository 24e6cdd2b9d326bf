# %% [markdown] lang="en" tags=["question"]
# # 2 · Why a random A
#
# **Question: two tasks learn without knowing of each other. Why should their updates not collide?**
#
# Each task adds its own update `dW = scaling · B A` to the same matrix. If two updates point the same way they add up or cancel. LoRI's answer is to draw each task's `A` at random: in a wide space, random directions are nearly at right angles. You will measure how nearly, and look at what happens without it.

# %% [markdown] lang="ja" tags=["question"]
# # 2 · なぜ A はランダムなのか
#
# **問い：互いを知らずに学習した二つのタスクの更新は、なぜぶつからないのでしょうか。**
#
# どのタスクも、自分の更新 `dW = scaling · B A` を同じ行列に足します。二つの更新が同じ方向を向けば、強め合ったり打ち消し合ったりします。LoRI の答えは、タスクごとに `A` をランダムに引くことです。広い空間では、ランダムな方向はほとんど直交します。どのくらい直交するのかを測り、そうしない場合も見てみます。

# %% lang="en"
LANGUAGE = "en"

# %% lang="ja"
LANGUAGE = "ja"

# %%
import torch

from lori_core import AdapterConfig, cosine_matrix, draw, figures, ready_made
from lori_core.lessons import checks
from lori_core.lessons.showing import guessed, say, show

# %% [markdown] lang="en"
# ## Exercise 1: the cosine of two updates
#
# Two updates are compared as two long vectors: the sum of products of their entries, over both lengths (Frobenius norms).
#
# <details><summary>Hint</summary>
#
# `(s * t).sum()` is the inner product, `s.norm()` the length of all entries together.
# </details>

# %% [markdown] lang="ja"
# ## 演習 1：二つの更新のコサイン
#
# 二つの更新を二つの長いベクトルとして比べます。要素どうしの積の和を、両方の長さ（フロベニウスノルム）で割ります。
#
# <details><summary>ヒント</summary>
#
# `(s * t).sum()` が内積、`s.norm()` が全要素の長さです。
# </details>

# %% tags=["exercise"]
def cosine(dW_s, dW_t):
    value = (dW_s * dW_t).sum() / (dW_s.norm() * dW_t.norm())  # solution
    return value

# %% tags=["check"]
checks.cosine(cosine, LANGUAGE)

# %% [markdown] lang="en" tags=["prediction"]
# ## Predict
#
# The worst case: both tasks want the **same** `B`, and only their `A` differ, each drawn for its own task. The width is `in_features` = 1024. **How large will the cosine be, roughly?** (1: the same direction, 0: right angles.)

# %% [markdown] lang="ja" tags=["prediction"]
# ## 予想
#
# 最悪の場合を考えます。二つのタスクがまったく**同じ** `B` を必要とし、それぞれのために引いた `A` だけが違うとします。幅 `in_features` は 1024 です。**コサインはどのくらいの大きさになるでしょうか。**（1 は同じ方向、0 は直角）

# %%
guess = None

# %%
def cosine_of_two_tasks(width, seed, **settings):
    config = AdapterConfig(rank=32, projection_seed=seed, **settings)
    slots = [{"slot": slot, "slots": 2} if config.projection == "orthogonal" else {} for slot in (0, 1)]
    named = zip(slots, ("math", "code"))
    A_s, A_t = (draw(config.changed(**slot), task, "a map", width) for slot, task in named)
    B = torch.randn(64, 32, generator=torch.Generator().manual_seed(seed))
    return float(cosine(B @ A_s, B @ A_t))


own = {width: [cosine_of_two_tasks(width, seed) for seed in range(12)] for width in (64, 256, 1024, 4096)}
guessed(guess, max(map(abs, own[1024])), LANGUAGE)

# %% [markdown] lang="en" tags=["control"]
# ## Look, with a control that fails
#
# Beside it two more: `A` from disjoint rows of one orthogonal matrix, and the control, **one shared `A`** for both tasks. The band is twice the theory's largest spread, 1/√d.

# %% [markdown] lang="ja" tags=["control"]
# ## 結果と、失敗する対照実験
#
# ほかに二つ並べます。一つの直交行列の別々の行から取った `A` と、対照実験として、二つのタスクで**共有した `A`** です。帯は理論上の最大のばらつき 1/√d の二倍です。

# %%
def three(**settings):
    return {width: [cosine_of_two_tasks(width, seed, **settings) for seed in range(3)] for width in own}


orthogonal, shared = three(projection="orthogonal"), three(shared_projection=True)
show(figures.cosines_by_width({"own": own, "orthogonal": orthogonal, "shared": shared}, LANGUAGE))

# %%
inside = sum(abs(each) < 2 / width**0.5 for width, cosines in own.items() for each in cosines)
total = sum(map(len, own.values()))
spread = {width: sum(each**2 for each in cosines) ** 0.5 for width, cosines in own.items()}

# %% lang="en" tags=["said"]
say(
    f"{inside} of {total} cosines lie within ±2/√d. The width does the work: from 64 to 1024 it grows by 16, and the spread shrinks by {spread[64] / spread[1024]:.1f}; theory says √16, that is 4. "
    f"Orthogonal blocks give {max(abs(c) for cs in orthogonal.values() for c in cs):.1e}, which is zero up to rounding, as long as the ranks of all tasks fit into the width. "
    f"With one shared A the cosine is {min(c for cs in shared.values() for c in cs):.2f}: the same B is then the same update."
)

# %% lang="ja" tags=["said"]
say(
    f"{total} 個のコサインのうち {inside} 個が ±2/√d に入ります。効いているのは幅です。幅が 64 から 1024 へ 16 倍になると、ばらつきは {spread[64] / spread[1024]:.1f} 分の一になります（理論では √16、つまり 4 分の一）。"
    f"直交するブロックでは {max(abs(c) for cs in orthogonal.values() for c in cs):.1e} で、丸めを除けば 0 です（全タスクの rank の合計が幅に収まる限り）。"
    f"A を共有すると {min(c for cs in shared.values() for c in cs):.2f} になります。同じ B なら、同じ更新になるからです。"
)

# %% [markdown] lang="en"
# ## Exercise 2: without forming the update
#
# An update of a large map is large. The inner product of two updates can be had from the factors alone:
#
# $$\langle B_s A_s,\; B_t A_t\rangle = \sum (B_s^\top B_t) \odot (A_s A_t^\top)$$
#
# The formula also says why a random `A` helps: where `A_s A_tᵀ` is small, whatever the Bs want is multiplied by little.
#
# <details><summary>Hint</summary>
#
# Both products are rank × rank. `*` multiplies entry by entry.
# </details>

# %% [markdown] lang="ja"
# ## 演習 2：更新を作らずに計算する
#
# 大きな写像の更新は、それ自体も大きくなります。二つの更新の内積は、因子だけから計算できます。
#
# $$\langle B_s A_s,\; B_t A_t\rangle = \sum (B_s^\top B_t) \odot (A_s A_t^\top)$$
#
# ランダムな `A` が役立つ理由も、この式からわかります。`A_s A_tᵀ` が小さければ、B がどうであれ、小さな数が掛かるからです。
#
# <details><summary>ヒント</summary>
#
# どちらの積も rank × rank です。`*` は要素ごとの積です。
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

# %% [markdown] lang="en"
# ## Trained adapters
#
# So far `B` was random. Here are adapters that learned four small tasks (they ship with the package): once with an `A` for each task, once with one shared `A`. The colours are centred on what chance gives.

# %% [markdown] lang="ja"
# ## 学習したアダプター
#
# ここまでの `B` はランダムでした。次は、四つの小さなタスクを学習したアダプターです（パッケージに付属）。タスクごとに `A` を持つものと、一つの `A` を共有したものがあります。色の中心は、偶然で得られる値です。

# %%
tasks = ("nlu", "math", "code", "safety")
variants = ("lori_d", "lori_d_shared")
trained = {variant: cosine_matrix([ready_made(task, variant) for task in tasks]) for variant in variants}
show(figures.pairs("lori_d", trained["lori_d"], LANGUAGE))

# %%
show(figures.pairs("lori_d_shared", trained["lori_d_shared"], LANGUAGE))

# %%
def largest(matrix):
    return max(abs(value) for s, row in enumerate(matrix.values) for t, value in enumerate(row) if s != t)


sizes = {variant: largest(matrix) for variant, matrix in trained.items()}

# %% lang="en" tags=["said"]
say(
    f"Largest |cosine| between two tasks: {sizes['lori_d']:.3f} with an A for each, {sizes['lori_d_shared']:.3f} with a shared one. "
    + (
        "The shared A lets the tasks meet in the same directions; an A for each keeps them apart."
        if sizes["lori_d_shared"] > 2 * sizes["lori_d"]
        else "Here the difference is small: these tasks do not ask for similar Bs, so even a shared A lets them pass."
    )
)

# %% lang="ja" tags=["said"]
say(
    f"二つのタスクの |コサイン| の最大は、タスクごとの A で {sizes['lori_d']:.3f}、共有した A で {sizes['lori_d_shared']:.3f} です。"
    + (
        "A を共有すると、タスクの更新が同じ方向に重なります。タスクごとの A なら離れたままです。"
        if sizes["lori_d_shared"] > 2 * sizes["lori_d"]
        else "ここでは差が小さくなりました。互いに似た B を必要とするタスクではないので、A を共有してもぶつかりません。"
    )
)

# %% [markdown] lang="en"
# ## Try it yourself
#
# - Set `rank=64` in `cosine_of_two_tasks` at width 64 and the orthogonal `A`: what does the library say, and why?
# - Give the two tasks opposite Bs (`B` and `-B`). What does the shared `A` give now?
#
# ## What this does not show
#
# Updates at right angles are not yet harmless. For another task's input `x`, `dW x` may be as large as for its own: being orthogonal makes the two changes unrelated, not small. Notebook 5 measures that, and notebook 6 whether merging suffers.

# %% [markdown] lang="ja"
# ## やってみよう
#
# - 幅 64 の直交する `A` で、`cosine_of_two_tasks` の `rank` を 64 にしてください。ライブラリーは何と言いますか。それはなぜですか。
# - 二つのタスクに逆向きの B（`B` と `-B`）を与えてください。共有した `A` ではどうなりますか。
#
# ## ここからはわからないこと
#
# 更新が直交していても、無害とは限りません。別のタスクの入力 `x` に対する `dW x` は、自分の入力に対するのと同じくらい大きくなりえます。直交は二つの変化を無関係にするだけで、小さくはしません。それはノートブック 5 で測り、マージへの影響はノートブック 6 で見ます。
