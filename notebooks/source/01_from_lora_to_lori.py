# %% [markdown] lang="en" tags=["question"]
# # 1 · From LoRA to LoRI
#
# **Question: what does LoRI train, what does it leave alone, and how little is that?**
#
# A linear map of a model is a matrix `W` with `out_features` rows and `in_features` columns. LoRA leaves `W` as it is and adds a thin product beside it:
#
# $$y = W x + \text{scaling} \cdot B A x, \qquad A: (\text{rank}, \text{in\_features}), \quad B: (\text{out\_features}, \text{rank})$$
#
# ![W, frozen, in grey; beside it B under its mask, green where it is trained, times A, which is drawn, in orange](attachment:factors.svg)
#
# LoRA trains `A` and `B`. **LoRI** draws `A` at random, freezes it, and trains only `B` (LoRI-D, dense), or only the entries of `B` that a mask keeps (LoRI-S, sparse).
#
# You will count, write the layer in ten lines, and check it against one matrix and two other programs.
#
# **Exercises:** ★ one line · ★★ one idea and a line or two · ★★★ think on paper first. Each has two folded hints: the idea, then nearly the code.

# %% [markdown] lang="ja" tags=["question"]
# # 1 · LoRA から LoRI へ
#
# **問い：LoRI は何を学習し、何を固定し、学習する値はどれだけ少ないのでしょうか。**
#
# モデルの線形写像は、`out_features` 行 `in_features` 列の行列 `W` です。LoRA は `W` をそのままにして、その横に、細長い二つの行列の積を足します。
#
# $$y = W x + \text{scaling} \cdot B A x, \qquad A: (\text{rank}, \text{in\_features}), \quad B: (\text{out\_features}, \text{rank})$$
#
# ![灰色の W は固定。横に、マスクの下の B（緑の要素だけを学習）と、ランダムに決めた A（オレンジ）の積](attachment:factors.svg)
#
# LoRA は `A` と `B` を学習します。**LoRI** は `A` をランダムに決めて固定し、`B` だけを学習するか（LoRI-D、密）、`B` のうちマスクが残す要素だけを学習します（LoRI-S、疎）。
#
# このノートブックでは、数を数え、層を十行で書き、一つの行列と、ほかの二つのプログラムと照らし合わせます。
#
# **演習：** ★ は一行、★★ は一工夫、★★★ はまず紙の上で考えるものです。どれにもヒントが二つ折りたたまれています。一つ目は考え方、二つ目はほぼコードです。

# %% lang="en"
LANGUAGE = "en"

# %% lang="ja"
LANGUAGE = "ja"

# %%
import torch
from torch import nn

from lori_core import AdapterConfig, LoRILinear, blank, draw, target_modules
from lori_core.lessons import checks
from lori_core.lessons.showing import embedded_base, guessed, say

base = embedded_base(LANGUAGE)
shapes = target_modules(base.model)  # module -> (out_features, in_features)
{module: shapes[module] for module in list(shapes)[:7]}

# %% [markdown] lang="en"
# These are the seven adapted maps of the first layer of a small model that ships with this package.
#
# ## Exercise 1: count ★
#
# Write how many values each method trains for one map: LoRA, LoRI-D, and LoRI-S at a given sparsity (the share of `B` that is held at zero). Round LoRI-S to a whole number.
#
# <details><summary>Hint 1: the idea</summary>
#
# Write down the shapes of A and B. Which of the two does LoRI train? Sparsity is the share of B's entries that is left out.
# </details>
#
# <details><summary>Hint 2: nearly the code</summary>
#
# LoRA: `rank * (in_features + out_features)`. LoRI-D: the part of it that belongs to B. LoRI-S: `round((1 - sparsity) * ...)`.
# </details>

# %% [markdown] lang="ja"
# このパッケージに付属する小さなモデルの、最初の層にある七つの線形写像です。
#
# ## 演習 1：数える ★
#
# 一つの線形写像について、各手法が学習する値の数を書いてください：LoRA、LoRI-D、そして与えられたスパース率（`B` のうち 0 に固定する割合）での LoRI-S。LoRI-S は整数に丸めてください。
#
# <details><summary>ヒント 1：考え方</summary>
#
# A と B の形を書き出してください。LoRI が学習するのはどちらでしょうか。スパース率は、B の要素のうち除く割合です。
# </details>
#
# <details><summary>ヒント 2：ほぼコード</summary>
#
# LoRA は `rank * (in_features + out_features)`、LoRI-D はそのうち B の分、LoRI-S は `round((1 - sparsity) * ...)` です。
# </details>

# %% tags=["exercise"]
def counts(out_features, in_features, rank, sparsity):
    lora = rank * (in_features + out_features)  # solution
    lori_d = out_features * rank  # solution
    lori_s = round((1 - sparsity) * out_features * rank)  # solution
    return lora, lori_d, lori_s

# %% tags=["check"]
checks.counts(counts, LANGUAGE)

# %% [markdown] lang="en" tags=["prediction"]
# ## Predict
#
# Llama-3-8B has 32 layers with the maps below. At rank 32 and a sparsity of 0.9: **what share of LoRA's values does LoRI-S train, in percent?** Write your guess before you run on.

# %% [markdown] lang="ja" tags=["prediction"]
# ## 予想
#
# Llama-3-8B は 32 層で、各層に下の写像があります。rank 32、スパース率 0.9 のとき、**LoRI-S が学習する値は LoRA の何パーセントでしょうか。** 実行する前に予想を書いてください。

# %%
guess = None

# %%
attention = [(4096, 4096), (1024, 4096), (1024, 4096), (4096, 4096)]
llama_3_8b = [*attention, (14336, 4096), (14336, 4096), (4096, 14336)]
by_map = [counts(out, width, 32, 0.9) for out, width in llama_3_8b]
totals = {name: 32 * sum(column) for name, column in zip(("LoRA", "LoRI-D", "LoRI-S"), zip(*by_map))}
guessed("share_of_lora", guess, 100 * totals["LoRI-S"] / totals["LoRA"], LANGUAGE)

# %%
written, read = (sum(side) for side in zip(*llama_3_8b))  # values of one layer: rows and columns of its maps
totals

# %% lang="en" tags=["said"]
say(
    f"LoRI-D trains {100 * totals['LoRI-D'] / totals['LoRA']:.3g} % of LoRA's values: A goes, and B, which stays, has {'more' if written > read else 'fewer'} than half of them, "
    f"since the maps of a layer write {written:,} values and read {read:,}. LoRI-S trains {100 * totals['LoRI-S'] / totals['LoRA']:.3g} %, a tenth of that. "
    "A is not free to compute with, but it need not be stored: it can be drawn again from its seed."
)

# %% lang="ja" tags=["said"]
say(
    f"LoRI-D が学習する値は LoRA の {100 * totals['LoRI-D'] / totals['LoRA']:.3g} % です。A の分がなくなり、残る B が半分{'以上' if written > read else '以下'}を占めます。"
    f"一層の写像が書く値は合計 {written:,} 個、読む値は {read:,} 個だからです。LoRI-S ではその十分の一、{100 * totals['LoRI-S'] / totals['LoRA']:.3g} % になります。"
    "A の計算は必要ですが、保存は不要です。シードから同じものを生成し直せます。"
)

# %% [markdown] lang="en"
# The library should count as you do. For the small model:

# %% [markdown] lang="ja"
# ライブラリーの数え方も同じはずです。小さなモデルで確かめます。

# %%
def theirs(**settings):
    return blank("math", shapes, AdapterConfig(rank=32, **settings)).trained_parameters


yours = [sum(column) for column in zip(*(counts(*shape, 32, 0.9) for shape in shapes.values()))]
{"LoRA": (yours[0], theirs(sparsity=0, train_projection=True)), "LoRI-D": (yours[1], theirs(sparsity=0))}

# %% [markdown] lang="en"
# ## Exercise 2: the layer in ten lines ★★
#
# Write `forward`. `x` has shape (..., in_features); the mask is True where `B` counts.
#
# <details><summary>Hint 1: the idea</summary>
#
# Two outputs are added: that of the frozen W and that of the update. The update reads x through A, and the mask acts on B.
# </details>
#
# <details><summary>Hint 2: nearly the code</summary>
#
# `x @ self.A.T` is A x for every row of x. Multiply it by `(self.mask * self.B).T`, scale it, and add `x @ self.W.T`.
# </details>

# %% [markdown] lang="ja"
# ## 演習 2：層を十行で ★★
#
# `forward` を書いてください。`x` の形は (..., in_features) で、マスクは、使う要素が True になります。
#
# <details><summary>ヒント 1：考え方</summary>
#
# 固定した W の出力と、更新の出力を足します。更新は A を通して x を読み、マスクは B に掛かります。
# </details>
#
# <details><summary>ヒント 2：ほぼコード</summary>
#
# `x @ self.A.T` は x の各行に対する A x です。それに `(self.mask * self.B).T` を掛け、scaling を掛け、`x @ self.W.T` を足します。
# </details>

# %% tags=["exercise"]
class MyLoRI(nn.Module):
    def __init__(self, W, A, B, mask, scaling):
        super().__init__()
        self.W, self.A, self.mask, self.scaling = W, A, mask, scaling
        self.B = nn.Parameter(B)

    def forward(self, x):
        y = x @ self.W.T + self.scaling * (x @ self.A.T) @ (self.mask * self.B).T  # solution
        return y

# %% tags=["check"]
checks.layer(MyLoRI, LANGUAGE)

# %% [markdown] lang="en"
# ## Exercise 3: one matrix ★
#
# An adapter that is in use need not cost anything: write it **into** the weight. Return the one matrix that does what your layer does.
#
# <details><summary>Hint 1: the idea</summary>
#
# The layer is linear in x, so one matrix does it all. Which one gives W x + scaling · (mask ⊙ B) A x for every x?
# </details>
#
# <details><summary>Hint 2: nearly the code</summary>
#
# `W + scaling * (mask * B) @ ...`
# </details>

# %% [markdown] lang="ja"
# ## 演習 3：一つの行列 ★
#
# 使うときのアダプターは、計算を増やさずに済みます。重みの**中に**書き込めるからです。あなたの層と同じ働きをする、一つの行列を返してください。
#
# <details><summary>ヒント 1：考え方</summary>
#
# 層は x について線形なので、一つの行列で表せます。どの x に対しても W x + scaling · (mask ⊙ B) A x になる行列は何でしょうか。
# </details>
#
# <details><summary>ヒント 2：ほぼコード</summary>
#
# `W + scaling * (mask * B) @ ...`
# </details>

# %% tags=["exercise"]
def merged_weight(W, A, B, mask, scaling):
    weight = W + scaling * (mask * B) @ A  # solution
    return weight

# %% tags=["check"]
checks.merged_weight(merged_weight, LANGUAGE)

# %% [markdown] lang="en"
# Your layer on a real map of the model, against **your** matrix, against `LoRILinear` of this library and against PEFT, the library most people use for LoRA. PEFT knows no masks, so it gets `mask ⊙ B`.

# %% [markdown] lang="ja"
# モデルの実際の写像で、あなたの層を、**あなたの**行列、このライブラリーの `LoRILinear`、そして LoRA で最も使われている PEFT と比べます。PEFT にはマスクがないので、`mask ⊙ B` を渡します。

# %%
from peft import LoraConfig, get_peft_model

module = "model.layers.0.mlp.down_proj"
W = base.model.get_submodule(module).weight.detach()
A = draw(AdapterConfig(rank=32), "math", module, W.shape[1])
B = torch.randn(W.shape[0], 32, generator=torch.Generator().manual_seed(0))
mask = B.abs() > B.abs().quantile(0.9)
x = torch.randn(5, W.shape[1], generator=torch.Generator().manual_seed(1))

# %%
linear = nn.Linear(W.shape[1], W.shape[0], bias=False)
linear.weight.data = W.clone()
mine, library = MyLoRI(W, A, B, mask, 2.0), LoRILinear(linear, A, mask * B, mask, 2.0)
peft = get_peft_model(nn.Sequential(linear), LoraConfig(r=32, lora_alpha=64, target_modules=["0"]))
peft.base_model.model[0].lora_A["default"].weight.data = A
peft.base_model.model[0].lora_B["default"].weight.data = mask * B
with torch.no_grad():
    largest_output = float(mine(x).abs().max())
    weight = merged_weight(W, A, B, mask, 2.0)
    others = {"one matrix": lambda x: x @ weight.T, "lori_core": library, "PEFT": peft}
    difference = {name: float((mine(x) - other(x)).abs().max()) for name, other in others.items()}
difference

# %% lang="en" tags=["said"]
say(f"The largest difference is {max(difference.values()):.1e}, beside outputs of up to {largest_output:.0f}: no more than 32-bit numbers round off.")

# %% lang="ja" tags=["said"]
say(f"最大の差は {max(difference.values()):.1e} で、出力は最大 {largest_output:.0f} です。32 ビット数の丸めの範囲に収まっています。")

# %% [markdown] lang="en" tags=["control"]
# ## A control that must fail
#
# Is the mask needed at all in the layer, once `B` was masked at the start? Let the gradient say. In `LoRILinear` only kept values are parameters. Take the layer **without** a mask, begin with the same masked `B`, and do one step.

# %% [markdown] lang="ja" tags=["control"]
# ## うまくいかないはずの対照条件
#
# 最初に `B` へマスクを掛けておけば、層の中のマスクは要らないのでしょうか。勾配に聞いてみます。`LoRILinear` では残した値だけがパラメーターです。**マスクのない**層を、同じマスク済みの `B` から始めて、1 ステップだけ学習します。

# %%
def outside_after_a_step(layer):
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.01, weight_decay=0.0)
    layer(x).square().mean().backward()
    optimizer.step()
    B_now = layer.B() if callable(layer.B) else layer.B
    return int(B_now.detach()[~mask].count_nonzero())


no_mask = MyLoRI(W, A, mask * B, torch.ones_like(mask), 2.0)
with_mask = LoRILinear(linear, A, mask * B, mask, 2.0)
moved = {"moved without": outside_after_a_step(no_mask), "moved with": outside_after_a_step(with_mask)}
{"entries outside the mask": int((~mask).sum())} | moved

# %% [markdown] lang="en"
# A mask at the start is no mask: the first step fills it in again. The mask has to stand in every forward pass, or the values outside must be no parameters. `LoRILinear` does the latter, so the optimizer keeps no state for them either.
#
# ## Try it yourself
#
# - Change the rank to 8 or 64 in the count for Llama-3-8B. Which of the three numbers grow in proportion?
# - Which sparsity would make LoRI-S a thousand times smaller than LoRA?
#
# ## What this does not show
#
# That so few values are *enough*. It says nothing about scores, speed or memory: a mask saves no multiplications, since `B` is scattered into a dense matrix before it is used. Scores come in notebook 4.

# %% [markdown] lang="ja"
# 最初だけのマスクは、マスクになりません。最初の 1 ステップで埋まってしまいます。毎回の順伝播でマスクを掛けるか、外の値をパラメーターにしないかのどちらかです。`LoRILinear` は後者なので、オプティマイザーの状態も持ちません。
#
# ## やってみよう
#
# - Llama-3-8B の計算で、rank を 8 や 64 に変えてください。三つの数のうち、比例して増えるのはどれですか。
# - LoRI-S を LoRA の千分の一にするスパース率はいくつですか。
#
# ## ここからはわからないこと
#
# これだけの値で*足りる*かどうかは、わかりません。スコア、速度、メモリーについても同じです。`B` は使う前に密な行列へ戻すので、マスクで掛け算は減りません。スコアはノートブック 4 で扱います。

# %% [markdown] lang="en" tags=["answer"]
# ## Answers to "Try it yourself"

# %% [markdown] lang="ja" tags=["answer"]
# ## 「やってみよう」の答え

# %% tags=["answer"]
def totals_at(rank, sparsity=0.9):
    by_map = [counts(out, width, rank, sparsity) for out, width in llama_3_8b]
    return [32 * sum(column) for column in zip(*by_map)]


growth = [f"{large / small:.2f}" for large, small in zip(totals_at(64), totals_at(8))]
enough = 1 - totals["LoRA"] / 1000 / totals["LoRI-D"]
share = totals_at(32, enough)[2] / totals["LoRA"]

# %% lang="en" tags=["answer", "said"]
say(
    f"- **Rank.** From rank 8 to 64 the three numbers grow {', '.join(growth)} times: all in proportion, since each is a product with the rank; LoRI-S only rounds to whole entries.\n"
    f"- **A thousandth.** A sparsity of {enough:.4f}: LoRI-S then trains {100 * share:.3f} % of LoRA's values. It is not {1 - 1 / 1000:.3f}, because LoRA has A as well."
)

# %% lang="ja" tags=["answer", "said"]
say(
    f"- **rank。** rank 8 から 64 で、三つの数は {'、'.join(growth)} 倍になります。どれも rank との積なので、すべて比例します。LoRI-S では整数に丸めるだけです。\n"
    f"- **千分の一。** スパース率は {enough:.4f} です。このとき LoRI-S は LoRA の {100 * share:.3f} % の値を学習します。LoRA には A もあるので、{1 - 1 / 1000:.3f} ではありません。"
)
