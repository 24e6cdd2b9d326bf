# %% [markdown] lang="en" tags=["question"]
# # 5 · Interference
#
# **Question: do two adapters disturb each other, in their weights and in what the model computes, and where?**
#
# "Interference" can mean several things. Three are measured here: masks that keep the same entries, updates that point the same way, and an adapter that changes the activations of another task. Each number stands beside what chance would give, since a number alone says nothing.

# %% [markdown] lang="ja" tags=["question"]
# # 5 · 干渉
#
# **問い：二つのアダプターは、重みの上で、またモデルの計算の上で、互いに邪魔をしているのでしょうか。それはどこでしょうか。**
#
# 「干渉」にはいくつかの意味があります。ここでは三つ測ります：マスクが同じ要素を残すこと、更新が同じ方向を向くこと、アダプターが別のタスクの活性を変えることです。数字だけでは何も言えないので、どれも偶然で得られる値と並べます。

# %% lang="en"
LANGUAGE = "en"

# %% lang="ja"
LANGUAGE = "ja"

# %%
from lori_core import cosine_matrix, cross_talk, figures, load_task, mask_overlap, ready_made
from lori_core.lessons import checks
from lori_core.lessons.showing import embedded_base, guessed, say, show

names = ("nlu", "math", "code", "safety")
adapters = [ready_made(name, "lori_s") for name in names]

# %% [markdown] lang="en"
# ## Exercise 1: overlap by chance
#
# Two masks, drawn at random, each keep the share p = 1 − sparsity of all entries. What Jaccard index (both / either) do you expect?
#
# <details><summary>Hint</summary>
#
# Both keep p · p of the entries. Either keeps p + p minus those counted twice.
# </details>

# %% [markdown] lang="ja"
# ## 演習 1：偶然の重なり
#
# ランダムに引いた二つのマスクが、それぞれ全要素の p = 1 − スパース率 を残します。Jaccard 係数（両方 / 少なくとも一方）の期待値はいくつでしょうか。
#
# <details><summary>ヒント</summary>
#
# 両方が残すのは p · p です。少なくとも一方が残すのは p + p から、二重に数えた分を引いたものです。
# </details>

# %% tags=["exercise"]
def chance_overlap(sparsity):
    p = 1 - sparsity
    expected = p**2 / (2 * p - p**2)  # solution
    return expected

# %% tags=["check"]
checks.chance_overlap(chance_overlap, LANGUAGE)

# %% [markdown] lang="en" tags=["prediction"]
# ## Predict
#
# The four tasks have nothing in common: questions about a world, sums, small programs, refusals. **How large is the largest Jaccard index between two of their masks?** (Chance is what you just wrote.)

# %% [markdown] lang="ja" tags=["prediction"]
# ## 予想
#
# 四つのタスクに共通点はありません：世界についての質問、計算、小さなプログラム、拒否です。**マスクどうしの Jaccard 係数の最大はいくつでしょうか。**（偶然の値は、今書いたとおりです）

# %%
guess = None

# %%
overlap = mask_overlap(adapters)
pairs = [(s, t) for s in range(len(names)) for t in range(s)]
largest = max(pairs, key=lambda pair: overlap.values[pair[0]][pair[1]])
value = overlap.values[largest[0]][largest[1]]
guessed(guess, value, LANGUAGE)

# %%
show(figures.pairs("lori_s", overlap, LANGUAGE))

# %% [markdown] lang="en"
# ## Exercise 2: how far from chance?
#
# The figure's white is chance *given how many entries each map, and in it each output, keeps*: masks that crowd into the same maps and outputs overlap more without agreeing on any entry. Say in standard deviations how far a value is from chance.
#
# <details><summary>Hint</summary>
#
# The distance from the mean of chance, divided by its standard deviation.
# </details>

# %% [markdown] lang="ja"
# ## 演習 2：偶然からどれだけ離れているか
#
# 図の白は、*写像ごと、さらにその出力ごとの残す要素数を前提にした*偶然の値です。同じ写像や出力に集まるマスクは、個々の要素で一致していなくても重なりが増えるからです。値が、偶然の平均から標準偏差の何倍離れているかを求めてください。
#
# <details><summary>ヒント</summary>
#
# 偶然の平均との差を、偶然の標準偏差で割ります。
# </details>

# %% tags=["exercise"]
def z_score(value, null_mean, null_sd):
    z = (value - null_mean) / null_sd  # solution
    return z

# %% tags=["check"]
checks.z_score(z_score, LANGUAGE)

# %%
s, t = largest
z = z_score(value, overlap.null_mean[s][t], overlap.null_sd[s][t])
expected = chance_overlap(0.9)

# %% lang="en" tags=["said"]
say(
    f"{names[s]} and {names[t]}: {value:.3f}, {value / expected:.1f} times what masks without any preference would share ({expected:.3f}), "
    f"and {z:.1f} standard deviations from masks that only prefer the same maps and outputs ({overlap.null_mean[s][t]:.3f}). "
    + ("So they agree on entries too, not only on outputs, however little that is." if z > 4 else "So what they share is size and a common preference for the same maps and outputs: they do not agree on entries.")
)

# %% lang="ja" tags=["said"]
say(
    f"{names[s]} と {names[t]} は {value:.3f} です。偏りのないマスク（{expected:.3f}）の {value / expected:.1f} 倍で、"
    f"同じ写像や出力に偏るだけのマスク（{overlap.null_mean[s][t]:.3f}）との差は標準偏差の {z:.1f} 倍です。"
    + ("わずかであっても、出力だけでなく要素でも一致しています。" if z > 4 else "共有しているのは、残す要素数と、同じ写像や出力への偏りから生じる分です。個々の要素では一致していません。")
)

# %% [markdown] lang="en"
# Where do they meet?

# %% [markdown] lang="ja"
# どこで重なるのでしょうか。

# %%
show(figures.pair_places(overlap, names[s], names[t], LANGUAGE))

# %% [markdown] lang="en" tags=["control"]
# ## Directions, and a control that should fail
#
# The same entry of `B` means something else under another `A`, so overlap of masks need not be a collision. Cosines of the updates tell. The control shares one `A`: now the same entry *is* the same direction.

# %% [markdown] lang="ja" tags=["control"]
# ## 方向と、失敗するはずの対照実験
#
# `A` が違えば、`B` の同じ要素でも意味が違います。マスクの重なりは衝突とは限りません。更新のコサインを見るとわかります。対照実験では `A` を共有します。今度は、同じ要素が*同じ*方向になります。

# %%
dense = [ready_made(name, "lori_d") for name in names]  # the control is LoRI-D as well
own = cosine_matrix(dense)
show(figures.pairs("lori_d", own, LANGUAGE))

# %%
shared_adapters = [ready_made(name, "lori_d_shared") for name in names]
shared = cosine_matrix(shared_adapters)
show(figures.pairs("lori_d_shared", shared, LANGUAGE))

# %%
most_own, most_shared = (max(abs(matrix.values[i][j]) for i, j in pairs) for matrix in (own, shared))
related = cosine_matrix(dense, shared_adapters).related_mean  # rank / width of the shared cosine, map by map
expected_own = max(abs(related[i][j]) for i, j in pairs)

# %% lang="en" tags=["said"]
say(
    f"Largest |cosine|: {most_own:.3f} with an A for each task, {most_shared:.3f} with one shared A. "
    f"Random A leave rank / width of what tasks have in common, so {expected_own:.3f} was to be expected of the most related pair, not 0. "
    + ("In weights, an A for each task keeps the updates apart." if most_shared > 2 * most_own else "In weights, the shared A does no harm here.")
)

# %% lang="ja" tags=["said"]
say(
    f"|コサイン| の最大は、タスクごとの A で {most_own:.3f}、共有した A で {most_shared:.3f} です。"
    f"ランダムな A は、タスクに共通する分をランク ÷ 幅まで小さくします。最も関連する組では 0 ではなく {expected_own:.3f} が見込まれます。"
    + ("重みの上では、タスクごとの A が更新を離しています。" if most_shared > 2 * most_own else "重みの上では、ここでは A を共有しても害がありません。")
)

# %% [markdown] lang="en"
# ## In function
#
# Now let the model read each task's inputs and measure how far each adapter moves the activations, as a multiple of what the task's own adapter does. Would adapters at right angles leave other tasks' inputs alone?

# %% [markdown] lang="ja"
# ## 機能の上での干渉
#
# 次は、モデルに各タスクの入力を読ませ、それぞれのアダプターが活性をどれだけ動かすかを、そのタスク自身のアダプターを 1 として測ります。直交するアダプターは、ほかのタスクの入力に影響しないのでしょうか。

# %%
base, tasks = embedded_base(), [load_task(name) for name in names]
talk = cross_talk(base.model, base.tokenizer, dense, tasks)
show(figures.pairs("lori_d", talk, LANGUAGE))

# %%
talk_shared = cross_talk(base.model, base.tokenizer, shared_adapters, tasks)
off = [(i, j) for i in range(len(names)) for j in range(len(names)) if i != j]
mean_own, mean_shared = (sum(m.values[i][j] for i, j in off) / len(off) for m in (talk, talk_shared))

# %% lang="en" tags=["said"]
say(
    f"On average another task's adapter moves the activations {mean_own:.2f} times as far as the task's own ({mean_shared:.2f} with a shared A), "
    f"although the cosines are at most {most_own:.3f}. "
    + ("Right angles do not silence an adapter: they make its effect unrelated to the other's, not small." if mean_own > 0.3 else "Here other tasks' inputs are left nearly alone.")
)

# %% lang="ja" tags=["said"]
say(
    f"別のタスクのアダプターは、平均して、自分のアダプターの {mean_own:.2f} 倍だけ活性を動かします（A を共有すると {mean_shared:.2f} 倍）。"
    f"コサインは最大でも {most_own:.3f} なのに、です。"
    + ("直交していても、アダプターの影響は消えません。ほかのアダプターの影響と無関係になるだけで、小さくはなりません。" if mean_own > 0.3 else "ここでは、ほかのタスクの入力にほとんど影響していません。")
)

# %% [markdown] lang="en"
# ## Try it yourself
#
# - Compare `principal_angles(adapters, "column")` and `"row"` from `lori_core.method.metrics`: on which side, reading or writing, do the tasks meet?
# - Take `sign_conflict(shared_adapters)`. Why does it mean nothing for adapters with an `A` each?
#
# ## What this does not show
#
# What interference *costs*. None of these numbers predicts a merged score by itself; notebook 6 merges and looks. And the z-scores compare with chance, so a large one may belong to a difference too small to matter.

# %% [markdown] lang="ja"
# ## やってみよう
#
# - `lori_core.method.metrics` の `principal_angles(adapters, "column")` と `"row"` を比べてください。タスクが重なるのは、読む側と書く側のどちらでしょうか。
# - `sign_conflict(shared_adapters)` を見てください。タスクごとに `A` があるアダプターでは意味がないのはなぜでしょうか。
#
# ## ここからはわからないこと
#
# 干渉の*代償*は、わかりません。どの数字も、それだけではマージ後のスコアを予測しません。ノートブック 6 で実際にマージして見ます。また、z 値は偶然との比較なので、大きくても、差そのものは問題にならないほど小さいことがあります。
