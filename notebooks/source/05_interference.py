# %% [markdown] lang="en" tags=["question"]
# # 5 · Interference
#
# **Question: do two adapters disturb each other, in their weights and in what the model computes, and where?**
#
# "Interference" can mean several things. Three are measured here: masks that keep the same entries, updates that point the same way, and an adapter that changes the activations of another task. Each number stands beside what chance would give, since a number alone says nothing.
#
# **Exercises:** ★ one line · ★★ one idea and a line or two · ★★★ think on paper first. Each has two folded hints: the idea, then nearly the code.

# %% [markdown] lang="ja" tags=["question"]
# # 5 · 干渉
#
# **問い：二つのアダプターは、重みで見ると、また出力（活性値）で見ると、互いに邪魔をしているのでしょうか。それはどこでしょうか。**
#
# 「干渉」にはいくつかの意味があります。ここでは三つ測ります：マスクが同じ要素を残すこと、更新が同じ方向を向くこと、アダプターが別のタスクの活性値を変えることです。数字だけでは何も言えないので、どれも偶然で得られる値と並べます。
#
# **演習：** ★ は一行、★★ は一工夫、★★★ はまず紙の上で考えるものです。どれにもヒントが二つ折りたたまれています。一つ目は考え方、二つ目はほぼコードです。

# %% lang="en"
LANGUAGE = "en"

# %% lang="ja"
LANGUAGE = "ja"

# %%
import math

from lori_core import (
    AdapterConfig, cosine_matrix, cross_talk, figures, forecast_before, load_task, mask_overlap, merge,
    principal_angles, ready_made, task_footprint,
)
from lori_core.lessons import checks
from lori_core.lessons.by_hand import cross_talk_by
from lori_core.lessons.controls import judge, normal
from lori_core.lessons.showing import embedded_base, guessed, say, show

names = ("nlu", "math", "code", "safety")
adapters = [ready_made(name, "lori_s") for name in names]

# %% [markdown] lang="en"
# ## Exercise 1: overlap by chance ★★
#
# Two masks, drawn at random, each keep the share p = 1 − sparsity of all entries. What Jaccard index (both / either) do you expect?
#
# <details><summary>Hint 1: the idea</summary>
#
# What share of all entries do both keep, if the masks know nothing of each other? What share does at least one keep?
# </details>
#
# <details><summary>Hint 2: nearly the code</summary>
#
# Both: `p * p`. Either: `p + p` minus what was counted twice. Divide the first by the second.
# </details>

# %% [markdown] lang="ja"
# ## 演習 1：偶然の重なり ★★
#
# ランダムに生成した二つのマスクが、それぞれ全要素の p = 1 − スパース率 を残します。Jaccard 係数（両方 / 少なくとも一方）の期待値はいくつでしょうか。
#
# <details><summary>ヒント 1：考え方</summary>
#
# 互いに無関係なら、両方が残す要素は全体のどれだけでしょうか。少なくとも一方が残す要素はどれだけでしょうか。
# </details>
#
# <details><summary>ヒント 2：ほぼコード</summary>
#
# 両方は `p * p`、少なくとも一方は `p + p` から二重に数えた分を引いたものです。前者を後者で割ります。
# </details>

# %% tags=["exercise"]
def chance_overlap(sparsity):
    p = 1 - sparsity
    expected = p**2 / (2 * p - p**2)  # solution
    return expected

# %% tags=["check"]
checks.chance_overlap(chance_overlap, LANGUAGE)

# %%
overlap = mask_overlap(adapters)
pairs = [(s, t) for s in range(len(names)) for t in range(s)]
show(figures.pairs("lori_s", overlap, LANGUAGE))

# %% [markdown] lang="en"
# ## Exercise 2: how far from chance? ★
#
# The figure's white is chance *given how many entries each map, and in it each output, keeps*: masks that crowd into the same maps and outputs overlap more without agreeing on any entry. Say in standard deviations how far a value is from chance.
#
# <details><summary>Hint 1: the idea</summary>
#
# A distance from chance, in units of how far chance itself varies.
# </details>
#
# <details><summary>Hint 2: nearly the code</summary>
#
# `(value - null_mean) / ...`
# </details>

# %% [markdown] lang="ja"
# ## 演習 2：偶然からどれだけ離れているか ★
#
# 図の白は、*写像ごと、さらにその出力ごとの残す要素数を前提にした*偶然の値です。同じ写像や出力に集まるマスクは、個々の要素で一致していなくても重なりが増えるからです。値が、偶然の平均から標準偏差の何倍離れているかを求めてください。
#
# <details><summary>ヒント 1：考え方</summary>
#
# 偶然からの距離を、偶然自身のばらつきを単位にして測ります。
# </details>
#
# <details><summary>ヒント 2：ほぼコード</summary>
#
# `(value - null_mean) / ...`
# </details>

# %% tags=["exercise"]
def z_score(value, null_mean, null_sd):
    z = (value - null_mean) / null_sd  # solution
    return z

# %% tags=["check"]
checks.z_score(z_score, LANGUAGE)

# %%
def tables(matrix):
    return matrix.values, matrix.null_mean, matrix.null_sd


z_of = {pair: z_score(*(table[pair[0]][pair[1]] for table in tables(overlap))) for pair in pairs}
s, t = max(pairs, key=lambda pair: abs(z_of[pair]))  # the farthest from chance, by your z
value, by_chance, sd = (round(table[s][t], 4) for table in tables(overlap))
z, expected = z_score(value, by_chance, sd), chance_overlap(0.9)

# %% lang="en" tags=["said"]
say(
    f"Farthest from chance are {names[s]} and {names[t]}: {value:.4f}. Masks that only prefer the same maps and outputs as these two would share {by_chance:.4f} ± {sd:.4f}, so z = ({value:.4f} − {by_chance:.4f}) / {sd:.4f} = {z:.1f}. "
    f"Masks without any preference would share {expected:.4f}, {value / expected:.1f} times less. "
    + ("So they agree on entries too, not only on outputs, however little that is." if z > 4 else "So what they share is size and a common preference for the same maps and outputs: they do not agree on entries.")
)

# %% lang="ja" tags=["said"]
say(
    f"偶然から最も離れた組は {names[s]} と {names[t]} で、{value:.4f} です。この二つと同じ写像や出力に偏るだけのマスクなら {by_chance:.4f} ± {sd:.4f} なので、z = ({value:.4f} − {by_chance:.4f}) / {sd:.4f} = {z:.1f} です。"
    f"偏りのまったくないマスクなら {expected:.4f} で、その {value / expected:.1f} 倍にあたります。"
    + ("わずかであっても、出力だけでなく要素でも一致しています。" if z > 4 else "共有しているのは、残す要素数と、同じ写像や出力への偏りから生じる分です。個々の要素では一致していません。")
)

# %% [markdown] lang="en"
# Where do they meet?

# %% [markdown] lang="ja"
# どこで重なるのでしょうか。

# %%
show(figures.pair_places(overlap, names[s], names[t], LANGUAGE))

# %% [markdown] lang="en" tags=["control"]
# ## Directions, and a control that should collide
#
# The same entry of `B` means something else under another `A`, so overlap of masks need not be a collision. Cosines of the updates tell. The control shares one `A`: now the same entry *is* the same direction.

# %% [markdown] lang="ja" tags=["control"]
# ## 方向と、ぶつかるはずの対照条件
#
# `A` が違えば、`B` の同じ要素でも意味が違います。マスクの重なりは衝突とは限りません。更新のコサインを見るとわかります。対照条件では `A` を共有します。今度は、同じ要素が*同じ*方向になります。

# %%
dense = [ready_made(name, "lori_d") for name in names]  # the control is LoRI-D as well
own = cosine_matrix(dense)
show(figures.pairs("lori_d", own, LANGUAGE))

# %%
shared_adapters = [ready_made(name, "lori_d_shared") for name in names]
shared = cosine_matrix(shared_adapters)
show(figures.pairs("lori_d_shared", shared, LANGUAGE))

# %%
def sizes(matrix):
    return {(i, j): normal(abs(matrix.values[i][j]), matrix.null_sd[i][j]) for i, j in pairs}


most_own, most_shared = (max(each.value for each in sizes(matrix).values()) for matrix in (own, shared))
angle = math.degrees(math.acos(most_shared))
closer = judge(sizes(shared), sizes(own))
related = cosine_matrix(dense, shared_adapters).related_mean  # rank / width of the shared cosine, map by map
expected_own = max(abs(related[i][j]) for i, j in pairs)

# %% lang="en" tags=["said"]
say(
    f"Largest |cosine|: {most_own:.3f} with an A for each task, {most_shared:.3f} with one shared A. "
    f"Random A leave rank / width of what tasks have in common, so {expected_own:.3f} was to be expected of the most related pair, not 0. "
    + closer.said("|cosine| under a shared A", "under an A for each", LANGUAGE)
    + f" But the closest pair under the shared A is still {angle:.1f}° apart"
    + (": nearly a right angle, since these tasks ask for Bs that hardly resemble each other." if angle > 80 else ": there the updates do meet.")
)

# %% lang="ja" tags=["said"]
say(
    f"|コサイン| の最大は、タスクごとの A で {most_own:.3f}、共有した A で {most_shared:.3f} です。"
    f"ランダムな A は、タスクに共通する分をランク ÷ 幅まで小さくします。最も関連する組では 0 ではなく {expected_own:.3f} が見込まれます。"
    + closer.said("共有した A での |コサイン|", "タスクごとの A での値", LANGUAGE)
    + f"ただし、共有した A で最も近い組でも、角度は {angle:.1f}° です。"
    + ("ほぼ直交していて、これらのタスクの B はほとんど似ていません。" if angle > 80 else "ここでは、更新が実際に重なっています。")
)

# %% [markdown] lang="en" tags=["prediction"]
# ## What the model computes: predict
#
# Now let the model read each task's inputs and measure how far each adapter moves the activations, as a multiple of what the task's own adapter does: the **cross-talk**. 0: other tasks' inputs are left alone; 1: another task's adapter moves them as far as their own does. You have just seen the angles of the updates, with an `A` for each task. **How large is the cross-talk, on average?**

# %% [markdown] lang="ja" tags=["prediction"]
# ## 出力（活性値）で見た干渉：予想
#
# 次は、モデルに各タスクの入力を読ませ、それぞれのアダプターが活性値をどれだけ動かすかを、そのタスク自身のアダプターを 1 として測ります。これを**クロストーク**と呼びます。0 なら、ほかのタスクの入力に影響しません。1 なら、別のタスクのアダプターが、自分のアダプターと同じだけ活性値を動かします。タスクごとの `A` での更新の角度は、いま見たとおりです。**クロストークは平均でどのくらいでしょうか。**

# %%
guess = None

# %%
base, tasks = embedded_base(LANGUAGE), [load_task(name) for name in names]
talk, talk_shared = (cross_talk(base.model, base.tokenizer, each, tasks) for each in (dense, shared_adapters))
off = [(i, j) for i in range(len(names)) for j in range(len(names)) if i != j]


def mean_off(table):
    return sum(table[i][j] for i, j in off) / len(off)


mean_own, mean_shared, mean_chance = mean_off(talk.values), mean_off(talk_shared.values), mean_off(talk.null_mean)
guessed("cross_talk", guess, mean_own, LANGUAGE)

# %%
show(figures.pairs("lori_d", talk, LANGUAGE))

# %%
def around(matrix):
    return {pair: normal(matrix.values[pair[0]][pair[1]], matrix.null_sd[pair[0]][pair[1]]) for pair in off}


quieter = judge(around(talk_shared), around(talk))

# %% lang="en" tags=["said"]
say(
    f"On average another task's adapter moves the activations {mean_own:.2f} times as far as the task's own, although the cosines are at most {most_own:.3f}. "
    f"Chance gives {mean_chance:.2f}: that is what updates of the same sizes do when they are turned at random. "
    + ("Right angles do not silence an adapter: they make its effect unrelated to the other's, not small. " if mean_own > 0.3 else "Here other tasks' inputs are left nearly alone. ")
    + quieter.said("Cross-talk under a shared A", "under an A for each", LANGUAGE)
)

# %% lang="ja" tags=["said"]
say(
    f"別のタスクのアダプターは、平均して、自分のアダプターの {mean_own:.2f} 倍だけ活性値を動かします。コサインは最大でも {most_own:.3f} なのに、です。"
    f"偶然なら {mean_chance:.2f} です。これは、同じ大きさの更新をランダムに回したときの値です。"
    + ("直交していても、アダプターの影響は消えません。ほかのアダプターの影響と無関係になるだけで、小さくはなりません。" if mean_own > 0.3 else "ここでは、ほかのタスクの入力にほとんど影響していません。")
    + quieter.said("共有した A でのクロストーク", "タスクごとの A での値", LANGUAGE)
)

# %% [markdown] lang="en" tags=["surprise"]
# ## Then remove it
#
# Why is it so large? A random `A` reads whatever comes: of another task's inputs it lets through about as much as of its own. But `A` is frozen before anything is trained, and what a task feeds into each map can be had from one forward pass: its **footprint**, the second moments of those inputs. So the cross-talk can be had without another pass.
#
# ## Exercise 3: cross-talk from footprints ★★★
#
# `moments` is the mean of x xᵀ over a task's inputs x, (in_features, in_features). Return the mean of ‖dW x‖² over them, one number, without any x.
#
# <details><summary>Hint 1: the idea</summary>
#
# For one input ‖dW x‖² = tr(dW x xᵀ dWᵀ). In the mean over inputs, what stands in the place of x xᵀ?
# </details>
#
# <details><summary>Hint 2: nearly the code</summary>
#
# The trace of `dW @ moments @ dW.T`. Without the large product: the sum of all entries of `(dW @ moments) * ...`.
# </details>

# %% [markdown] lang="ja" tags=["surprise"]
# ## では、取り除く
#
# なぜこれほど大きいのでしょうか。ランダムな `A` は、来たものを何でも読みます。別のタスクの入力も、自分の入力とほぼ同じだけ通します。しかし `A` は学習の前に固定されます。また、タスクが各写像に何を入力するかは、一度の順伝播でわかります。それが**フットプリント**、つまり入力の二次モーメントです。これがあれば、クロストークは、もう一度モデルに読ませなくても求められます。
#
# ## 演習 3：フットプリントからクロストークを求める ★★★
#
# `moments` は、タスクの入力 x についての x xᵀ の平均で、形は (in_features, in_features) です。x を使わずに、‖dW x‖² の平均を一つの数として返してください。
#
# <details><summary>ヒント 1：考え方</summary>
#
# 一つの入力では ‖dW x‖² = tr(dW x xᵀ dWᵀ) です。入力について平均すると、x xᵀ は何に置き換わるでしょうか。
# </details>
#
# <details><summary>ヒント 2：ほぼコード</summary>
#
# `dW @ moments @ dW.T` のトレースです。大きな積を作らないなら、`(dW @ moments) * ...` の全要素の和です。
# </details>

# %% tags=["exercise"]
def energy(dW, moments):
    value = ((dW @ moments) * dW).sum()  # solution
    return value

# %% tags=["check"]
checks.energy(energy, LANGUAGE)

# %% [markdown] lang="en"
# Now the cross-talk of the trained adapters once more, by **your** `energy`: summed over all maps, another task's over its own, and the root.

# %% [markdown] lang="ja"
# 学習したアダプターのクロストークを、もう一度、**あなたの** `energy` で求めます。全写像で足し、自分のタスクの値で割り、平方根を取ります。

# %%
footprints = [task_footprint(base, task) for task in tasks]
by_footprints = cross_talk_by(energy, dense, footprints)
{"read by the model": round(mean_own, 3), "by your energy": round(mean_off(by_footprints), 3)}

# %% [markdown] lang="en"
# Before training there is no `B` yet, but there is `A`: what it lets through can be forecast in the same way. And an `A` can be **chosen** that reads its own task well and the others hardly: a *conditioned* `A`. Here is the forecast for both, before any training.

# %% [markdown] lang="ja"
# 学習前には `B` はまだありませんが、`A` はあります。`A` が何を通すかは、同じように予測できます。さらに、自分のタスクをよく読み、ほかのタスクをほとんど読まない `A` を**選ぶ**こともできます。これが*条件付き* `A` です。学習前の予測を、両方について示します。

# %%
kinds = ("kaiming_uniform", "conditioned")
forecasts = {kind: forecast_before(footprints, AdapterConfig(projection=kind)) for kind in kinds}
top = max(map(max, forecasts["kaiming_uniform"].values))
show(figures.forecast_matrix("LoRI", forecasts["kaiming_uniform"], top, LANGUAGE))

# %% [markdown] lang="en"
# How strictly a conditioned `A` avoids the other tasks' inputs is set by λ, a ridge penalty on the size of its rows. Change it with the slider. With a small λ `A` avoids them even at the price of directions in which its own task has little; with a large one it reads its own task and hardly cares about the others.

# %% [markdown] lang="ja"
# 条件付き `A` がほかのタスクをどれだけ厳しく避けるかは、λ で決まります。λ は、A の行の大きさへの罰則（リッジ正則化）です。スライダーで変えてみてください。小さい λ では、自分のタスクの入力も少ない方向を使ってまで、ほかを避けます。大きい λ では、自分のタスクを読むことが中心になり、ほかをあまり気にしません。

# %%
def at_ridge(ridge):
    forecast = forecast_before(footprints, AdapterConfig(projection="conditioned", ridge=ridge))
    return figures.forecast_matrix("LoRI", forecast, top, LANGUAGE)


show(figures.slider("ridge", {each: at_ridge(each) for each in (0.001, 0.01, 0.1, 1, 10)}, 0.01, LANGUAGE))

# %% lang="en" tags=["said"]
say(
    f"Forecast before training, on average: {mean_off(forecasts['kaiming_uniform'].values):.2f} with a random A, {mean_off(forecasts['conditioned'].values):.2f} with a conditioned one. "
    "It is what A lets through, not the angle between updates, that decides how much one task disturbs another. Notebook 7 trains with such an A."
)

# %% lang="ja" tags=["said"]
say(
    f"学習前の予測は、平均して、ランダムな A で {mean_off(forecasts['kaiming_uniform'].values):.2f}、条件付き A で {mean_off(forecasts['conditioned'].values):.2f} です。"
    "あるタスクが別のタスクをどれだけ邪魔するかを決めるのは、更新どうしの角度ではなく、A が何を通すかです。ノートブック 7 では、この A で学習します。"
)

# %% [markdown] lang="en"
# ## Try it yourself
#
# - Compare `principal_angles(dense, "column")` with `"row"`: on which side, writing or reading, do the tasks meet?
# - Turn one adapter around: `merge([dense[0]], "concat", [-1.0], "turned")`. Which of the three numbers changes: overlap of masks, cosine, cross-talk?
#
# ## What this does not show
#
# What interference *costs*. None of these numbers predicts a merged score by itself; notebook 6 merges and looks. And the z-scores compare with chance, so a large one may belong to a difference too small to matter.

# %% [markdown] lang="ja"
# ## やってみよう
#
# - `principal_angles(dense, "column")` と `"row"` を比べてください。タスクが重なるのは、書く側と読む側のどちらでしょうか。
# - アダプターを一つ、逆向きにしてください：`merge([dense[0]], "concat", [-1.0], "turned")`。マスクの重なり、コサイン、クロストークのうち、変わるのはどれでしょうか。
#
# ## ここからはわからないこと
#
# 干渉の*代償*は、わかりません。どの数字も、それだけではマージ後のスコアを予測しません。ノートブック 6 で実際にマージして見ます。また、z 値は偶然との比較なので、大きくても、差そのものは問題にならないほど小さいことがあります。

# %% [markdown] lang="en" tags=["answer"]
# ## Answers to "Try it yourself"

# %% [markdown] lang="ja" tags=["answer"]
# ## 「やってみよう」の答え

# %% tags=["answer"]
def beyond_chance(side):
    found = principal_angles(dense, side)
    return sum(found.values[i][j] / found.null_mean[i][j] for i, j in pairs) / len(pairs)


sides = {side: beyond_chance(side) for side in ("column", "row")}
turned = [merge([dense[0]], "concat", [-1.0], "turned"), dense[1]]
two = (dense[:2], turned)
overlaps, cosines = ([by(each).values[1][0] for each in two] for by in (mask_overlap, cosine_matrix))
talks = [cross_talk_by(energy, each, footprints[:2])[0][1] for each in two]

# %% lang="en" tags=["answer", "said"]
say(
    f"- **Which side.** Shared directions, as multiples of chance: {sides['column']:.1f} where the updates write, {sides['row']:.1f} where they read. "
    + ("They meet where they write: what they read is drawn apart by `A`, what they write is learned.\n" if sides["column"] > 1.2 * sides["row"] else "Neither side stands out.\n")
    + f"- **Turned around.** Overlap of masks {overlaps[0]:.3f} and {overlaps[1]:.3f}, cosine {cosines[0]:.4f} and {cosines[1]:.4f}, cross-talk {talks[0]:.2f} and {talks[1]:.2f}. "
    "Only the cosine has a sign: the two others would not notice that a task is now undone."
)

# %% lang="ja" tags=["answer", "said"]
say(
    f"- **どちら側か。** 共有する方向は、偶然を 1 として、書く側で {sides['column']:.1f}、読む側で {sides['row']:.1f} です。"
    + ("重なるのは書く側です。読む方向は `A` が引き離していますが、書く方向は学習で決まります。\n" if sides["column"] > 1.2 * sides["row"] else "どちらの側も目立ちません。\n")
    + f"- **逆向き。** マスクの重なりは {overlaps[0]:.3f} と {overlaps[1]:.3f}、コサインは {cosines[0]:.4f} と {cosines[1]:.4f}、クロストークは {talks[0]:.2f} と {talks[1]:.2f} です。"
    "符号を持つのはコサインだけです。ほかの二つは、タスクの働きが打ち消されても気づきません。"
)
