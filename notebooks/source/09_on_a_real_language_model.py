# %% [markdown] lang="en" tags=["question"]
# # 9 · On a real language model
#
# **Question: which of the findings so far hold on a language model that was never made for these tasks?**
#
# Notebooks 1 to 8 used a small base that has practised the tasks. This one uses SmolLM2-135M, an instruction model of 30 layers, and eight adapters that were trained on real data sets: science questions (ARC-Easy), word problems (GSM8K), code (CodeAlpaca) and refusals (SaferPaca), LoRI-S with a random and with a conditioned `A`. At this size hardly an answer is right, so what counts here is the **held-out loss**: how likely the model finds the right response. The rows are ours, in the form of the data sets; no adapter has seen them.
#
# You need the model for the second half: `make real-base` fetches it once.
#
# **Exercises:** ★ one line · ★★ one idea and a line or two · ★★★ think on paper first. Each has two folded hints: the idea, then nearly the code.

# %% [markdown] lang="ja" tags=["question"]
# # 9 · 実際の言語モデルで
#
# **問い：これまでにわかったことのうち、これらのタスクのために作られていない言語モデルでも成り立つのはどれでしょうか。**
#
# ノートブック 1 から 8 では、タスクを練習済みの小さなベースを使いました。ここでは、30 層の指示チューニング済みモデル SmolLM2-135M と、実際のデータセットで学習した八つのアダプターを使います。理科の問題（ARC-Easy）、文章題（GSM8K）、コード（CodeAlpaca）、拒否（SaferPaca）の四つを、LoRI-S で、ランダムな `A` と条件付き `A` のそれぞれで学習したものです。この大きさのモデルでは正答がほとんど出ないので、正しい応答をモデルがどれほどありそうだと見なすか、つまり**評価用データの損失**で比べます。例はデータセットと同じ形式で書き下ろしたもので、どのアダプターも見ていません。
#
# 後半にはモデルが必要です。`make real-base` で一度だけ取得します。
#
# **演習：** ★ は一行、★★ は一工夫、★★★ はまず紙の上で考えるものです。どれにもヒントが二つ折りたたまれています。一つ目は考え方、二つ目はほぼコードです。

# %% lang="en"
LANGUAGE = "en"

# %% lang="ja"
LANGUAGE = "ja"

# %%
from lori_core import cosine_matrix, cross_talk, figures, mask_overlap, merge, ready_made
from lori_core.lessons import checks
from lori_core.lessons.by_hand import gains_by
from lori_core.lessons.controls import judge
from lori_core.lessons.real_rows import real_tasks
from lori_core.lessons.showing import guessed, layout_of, losses, percent, real_base, say, show

names = ("saferpaca", "gsm8k", "codealpaca", "arc_easy")
random = {name: ready_made(name, "lori_s") for name in names}
conditioned = {name: ready_made(name, "lori_s_conditioned") for name in names}

# %% [markdown] lang="en"
# ## Where the mask keeps entries
#
# Notebook 3's picture, now of 30 layers. Nobody told the calibration which maps matter.

# %% [markdown] lang="ja"
# ## マスクはどこに要素を残すか
#
# ノートブック 3 と同じ図を、30 層について描きます。どの写像が大事かは、誰も教えていません。

# %%
show(figures.mask_layout(layout_of(random["gsm8k"]), LANGUAGE))

# %% [markdown] lang="en"
# ## Exercise 1: overlap by chance, module by module ★★
#
# All masks crowd into the same maps, so two of them overlap more than masks without any preference would. Let two masks keep `kept_s[m]` and `kept_t[m]` of the `entries[m]` entries of module `m`, **anywhere within it**. Which Jaccard index do you expect of the whole? Take the expected number that both keep, and divide by the number that either keeps.
#
# <details><summary>Hint 1: the idea</summary>
#
# In one module a share `kept_t / entries` of the other mask's entries falls on each entry. So how many of the `kept_s` entries does the other mask keep as well? Sum over the modules before you divide.
# </details>
#
# <details><summary>Hint 2: nearly the code</summary>
#
# `both = sum(s * t / n for s, t, n in zip(...))`, then `both / (sum(kept_s) + sum(kept_t) - ...)`.
# </details>

# %% [markdown] lang="ja"
# ## 演習 1：モジュールごとに見た偶然の重なり ★★
#
# どのマスクも同じ写像に集まるので、偏りのないマスクどうしより多く重なります。二つのマスクが、モジュール `m` の `entries[m]` 個の要素のうち `kept_s[m]` 個と `kept_t[m]` 個を、**その中のどこか**に残すとします。全体の Jaccard 係数の期待値はいくつでしょうか。両方が残す数の期待値を、少なくとも一方が残す数で割ってください。
#
# <details><summary>ヒント 1：考え方</summary>
#
# 一つのモジュールでは、もう一方のマスクは各要素を `kept_t / entries` の割合で残します。では、`kept_s` 個のうち、もう一方も残すのはいくつでしょうか。モジュールについて足してから割ります。
# </details>
#
# <details><summary>ヒント 2：ほぼコード</summary>
#
# `both = sum(s * t / n for s, t, n in zip(...))`、次に `both / (sum(kept_s) + sum(kept_t) - ...)` です。
# </details>

# %% tags=["exercise"]
def overlap_by_counts(kept_s, kept_t, entries):
    # solution
    both = sum(s * t / n for s, t, n in zip(kept_s, kept_t, entries))
    return both / (sum(kept_s) + sum(kept_t) - both)
    # end

# %% tags=["check"]
checks.overlap_by_counts(overlap_by_counts, LANGUAGE)

# %%
def counts(adapter):
    return [int(mask.sum()) for mask in adapter.masks.values()]


entries = [mask.numel() for mask in random["gsm8k"].masks.values()]
overlap = mask_overlap(list(random.values()))
pairs = [(s, t) for s in range(len(names)) for t in range(s)]
by_counts = {(s, t): overlap_by_counts(counts(random[names[s]]), counts(random[names[t]]), entries) for s, t in pairs}


def mean(values):
    return sum(values) / len(values)


found = mean([overlap.values[s][t] for s, t in pairs])
module_chance = mean(by_counts.values())
row_chance = mean([overlap.null_mean[s][t] for s, t in pairs])
cosines = cosine_matrix(list(random.values()))
largest = max(abs(cosines.values[s][t]) for s, t in pairs)
plain_chance = overlap_by_counts([0.1], [0.1], [1])
show(figures.pairs("lori_s", overlap, LANGUAGE))

# %% lang="en" tags=["said"]
say(
    f"Two masks share {found:.3f} on average. Masks without any preference would share {plain_chance:.3f}; with the same counts in each module, by your function, {module_chance:.3f}; "
    f"with the same preferred outputs as well {row_chance:.3f}. "
    + ("So nearly all of the overlap is a preference for the same places, as on the toy. " if found - row_chance < 0.25 * (found - plain_chance) else "So a good part of the overlap is agreement on entries, unlike on the toy. ")
    + f"Cosines of the updates are at most {largest:.3f}."
)

# %% lang="ja" tags=["said"]
say(
    f"二つのマスクの重なりは、平均 {found:.3f} です。偏りのないマスクなら {plain_chance:.3f}、モジュールごとの残す要素数が同じなら、あなたの関数で {module_chance:.3f}、"
    f"さらに偏る出力まで同じなら {row_chance:.3f} です。"
    + ("重なりのほとんどは、同じ場所への偏りです。これは小さなベースでも同じでした。" if found - row_chance < 0.25 * (found - plain_chance) else "重なりのかなりの部分は、個々の要素の一致です。これは小さなベースと違います。")
    + f"更新のコサインは、最大でも {largest:.3f} です。"
)

# %% [markdown] lang="en"
# ## Exercise 2: what a loss is worth ★★
#
# A loss is in nats a token: the mean of −log p over the tokens of the right response. Say how many times likelier a whole response of `tokens` tokens has become when its loss goes from `before` to `after`.
#
# <details><summary>Hint 1: the idea</summary>
#
# The probability of a response is the product of those of its tokens. What does a product become in the logarithm?
# </details>
#
# <details><summary>Hint 2: nearly the code</summary>
#
# `math.exp((before - after) * ...)`; or `torch.tensor(...).exp()`.
# </details>

# %% [markdown] lang="ja"
# ## 演習 2：損失の意味 ★★
#
# 損失は、トークンあたりのナットです。正しい応答の各トークンについての −log p の平均です。損失が `before` から `after` になったとき、`tokens` 個のトークンからなる応答全体は、何倍ありそうになったでしょうか。
#
# <details><summary>ヒント 1：考え方</summary>
#
# 応答の確率は、トークンの確率の積です。積は、対数では何になるでしょうか。
# </details>
#
# <details><summary>ヒント 2：ほぼコード</summary>
#
# `math.exp((before - after) * ...)`、または `torch.tensor(...).exp()` です。
# </details>

# %% tags=["exercise"]
import math


def times_likelier(before, after, tokens):
    times = math.exp((before - after) * tokens)  # solution
    return times

# %% tags=["check"]
checks.times_likelier(times_likelier, LANGUAGE)

# %%
base, tasks = real_base(LANGUAGE), {task.name: task for task in real_tasks()}


def alone(adapters):
    found = {}
    for name, adapter in adapters.items():
        found |= losses(base, [tasks[name]], adapter)
    return found


bare = losses(base, [tasks[name] for name in names])
alone_random, alone_conditioned = alone(random), alone(conditioned)
tokens = {name: bare[name].tokens / bare[name].n for name in names}
likelier = {name: times_likelier(bare[name].value, alone_random[name].value, tokens[name]) for name in names}
most = max(likelier, key=lambda name: likelier[name])

# %% lang="en" tags=["said"]
say(
    "Each adapter alone, random A: "
    + ", ".join(f"{name} {bare[name].value:.2f} → {alone_random[name].value:.2f}" for name in names)
    + f" nats a token. So the right response of {most}, {tokens[most]:.0f} tokens long, has become some 10<sup>{math.log10(likelier[most]):.0f}</sup> times likelier, although a table of right answers would show little of it: what was all but impossible is still unlikely."
)

# %% lang="ja" tags=["said"]
say(
    "それぞれのアダプターを単独で使ったとき（ランダムな A）、トークンあたりのナットは "
    + "、".join(f"{name} {bare[name].value:.2f} → {alone_random[name].value:.2f}" for name in names)
    + f" です。{most} の正しい応答（平均 {tokens[most]:.0f} トークン）は、およそ 10<sup>{math.log10(likelier[most]):.0f}</sup> 倍ありそうになりました。それでも正答率の表にはほとんど現れません。ほぼ不可能だったものが、まだ起こりにくいところまで来ただけだからです。"
)

# %% [markdown] lang="en"
# ## Exercise 3: what a merge keeps ★
#
# From three losses, of the bare base, of the task's adapter alone, and of the merge, return the share of the single adapter's gain that the merge keeps. Below 0 the merge is worse than no adapter at all.
#
# <details><summary>Hint 1: the idea</summary>
#
# The gain of the single adapter is the fall of the loss from `bare` to `alone`. How much of that fall is there after merging?
# </details>
#
# <details><summary>Hint 2: nearly the code</summary>
#
# `(bare - merged) / (...)`
# </details>

# %% [markdown] lang="ja"
# ## 演習 3：マージ後に残るもの ★
#
# 元のベース、そのタスクのアダプター単独、マージの三つの損失から、単独のアダプターの改善のうちマージ後に残る割合を返してください。0 未満なら、アダプターがないときより悪くなっています。
#
# <details><summary>ヒント 1：考え方</summary>
#
# 単独のアダプターの改善は、損失が `bare` から `alone` まで下がった分です。マージ後は、そのうちどれだけ下がっているでしょうか。
# </details>
#
# <details><summary>ヒント 2：ほぼコード</summary>
#
# `(bare - merged) / (...)`
# </details>

# %% tags=["exercise"]
def kept_gain(bare, alone, merged):
    share = (bare - merged) / (bare - alone)  # solution
    return share

# %% tags=["check"]
checks.kept_gain(kept_gain, LANGUAGE)

# %% [markdown] lang="en" tags=["prediction"]
# ## Merged at weight 1: predict
#
# On the small base, four LoRI-S adapters with a random `A`, merged at weight 1 without any search, kept hardly anything of their scores; with a conditioned `A` they kept nearly all. **How much of the gain, in percent and on average over the tasks, does the merge with a random `A` keep on the real model?** It may be negative.

# %% [markdown] lang="ja" tags=["prediction"]
# ## マージ係数 1 でのマージ：予想
#
# 小さなベースでは、ランダムな `A` の LoRI-S アダプター四つをマージ係数 1 で探索なしにマージすると、スコアはほとんど残りませんでした。条件付き `A` では、ほとんど残りました。**実際のモデルでは、ランダムな `A` のマージで、改善の何パーセントが（タスクの平均で）残るでしょうか。** 負になることもあります。

# %%
guess = None

# %%
def merged(adapters, weight=1.0, scored=names):
    parts = list(adapters.values())
    return losses(base, [tasks[name] for name in scored], merge(parts, "concat", [weight] * len(parts), "merged"))


whole = {
    "random_at_one": gains_by(kept_gain, bare, alone_random, merged(random)),
    "random_at_half": gains_by(kept_gain, bare, alone_random, merged(random, 0.5)),
    "conditioned_at_one": gains_by(kept_gain, bare, alone_conditioned, merged(conditioned)),
}
kept = {variant: mean([share.value for share in by_task.values()]) for variant, by_task in whole.items()}
guessed("kept_real", guess, 100 * kept["random_at_one"], LANGUAGE)

# %%
show(figures.kept_gains(whole, LANGUAGE))

# %%
better = judge(whole["conditioned_at_one"], whole["random_at_half"])

# %% lang="en" tags=["said"]
say(
    f"Kept on average: {percent(kept['random_at_one'])} with a random A at weight 1, {percent(kept['random_at_half'])} at half of it, {percent(kept['conditioned_at_one'])} with a conditioned A at weight 1, where nothing was searched. "
    + better.said("What a conditioned A keeps at weight 1", "a random A at weight 0.5", LANGUAGE)
)

# %% lang="ja" tags=["said"]
say(
    f"残る割合の平均は、ランダムな A のマージ係数 1 で {percent(kept['random_at_one'])}、その半分で {percent(kept['random_at_half'])}、探索なしの条件付き A（マージ係数 1）で {percent(kept['conditioned_at_one'])} です。"
    + better.said("条件付き A（マージ係数 1）で残る割合", "ランダムな A（マージ係数 0.5）", LANGUAGE)
)

# %% [markdown] lang="en" tags=["control"]
# ## A control that should keep nothing
#
# Perhaps any adapter would do, since all of them teach the model to answer at all. So leave each task's **own** adapter out, and merge the three others at weight 1: what they keep of its gain is not its own.

# %% [markdown] lang="ja" tags=["control"]
# ## 何も残らないはずの対照条件
#
# どのアダプターも、応答のしかたそのものを教えているだけで、どれでもよいのかもしれません。そこで、各タスク**自身の**アダプターを除き、ほかの三つをマージ係数 1 でマージします。ここに残る改善は、そのタスクのアダプターのものではありません。

# %%
def without_own(adapters, alone):
    found = {}
    for name in names:
        others = {each: adapter for each, adapter in adapters.items() if each != name}
        found |= merged(others, scored=[name])
    return gains_by(kept_gain, bare, alone, found)


others = {
    "others_random": without_own(random, alone_random),
    "others_conditioned": without_own(conditioned, alone_conditioned),
}
show(figures.kept_gains(others, LANGUAGE))

# %%
own_counts = judge(whole["conditioned_at_one"], others["others_conditioned"])
by_others = {variant: mean([share.value for share in by_task.values()]) for variant, by_task in others.items()}

# %% lang="en" tags=["said"]
say(
    own_counts.said("The merge with its own adapter", "the three others", LANGUAGE)
    + f" The three others alone come to {percent(by_others['others_conditioned'])} with a conditioned A and to {percent(by_others['others_random'])} with a random one"
    + (": with a random A the others do harm, which is what interference is." if by_others["others_random"] < -0.1 else ".")
)

# %% lang="ja" tags=["said"]
say(
    own_counts.said("自分のアダプターを含むマージ", "ほかの三つだけのマージ", LANGUAGE)
    + f"ほかの三つだけでは、条件付き A で {percent(by_others['others_conditioned'])}、ランダムな A で {percent(by_others['others_random'])} です"
    + ("。ランダムな A では、ほかのアダプターが害になります。これが干渉です。" if by_others["others_random"] < -0.1 else "。")
)

# %% [markdown] lang="en"
# ## How far each adapter moves the others' inputs
#
# Notebook 5's cross-talk, on the real model: 1 is what the task's own adapter does.

# %% [markdown] lang="ja"
# ## ほかのタスクの入力をどれだけ動かすか
#
# ノートブック 5 のクロストークを、実際のモデルで測ります。1 は、そのタスク自身のアダプターと同じ大きさです。

# %%
few = [tasks[name] for name in names]
talk_random, talk_conditioned = (
    cross_talk(base.model, base.tokenizer, list(each.values()), few, examples=3) for each in (random, conditioned)
)
show(figures.pairs("lori_s", talk_conditioned, LANGUAGE))

# %%
off = [(i, j) for i in range(len(names)) for j in range(len(names)) if i != j]
mean_random, mean_conditioned = (mean([each.values[i][j] for i, j in off]) for each in (talk_random, talk_conditioned))

# %% lang="en" tags=["said"]
say(
    f"On average {mean_random:.2f} with a random A, {mean_conditioned:.2f} with a conditioned one. "
    + ("As on the small base, independent random A do not keep adapters from disturbing each other. " if mean_random > 0.5 else "Here even a random A disturbs little. ")
    + ("A conditioned A disturbs less, but not nothing: real tasks feed more alike inputs into the model than the toy's do." if 0.15 < mean_conditioned < mean_random else "")
)

# %% lang="ja" tags=["said"]
say(
    f"平均は、ランダムな A で {mean_random:.2f}、条件付き A で {mean_conditioned:.2f} です。"
    + ("小さなベースと同じく、独立なランダムな A でも、アダプターは互いに邪魔をします。" if mean_random > 0.5 else "ここでは、ランダムな A でもほとんど邪魔をしません。")
    + ("条件付き A では邪魔が減りますが、なくなりはしません。実際のタスクは、小さなベースのタスクより互いに似た入力をモデルに与えるからです。" if 0.15 < mean_conditioned < mean_random else "")
)

# %% [markdown] lang="en"
# ## Task after task
#
# Notebook 7's question in its simplest form: `saferpaca` comes first, and the others' adapters are added one by one, each at weight 1. What is left of the first task's gain?

# %% [markdown] lang="ja"
# ## タスクを一つずつ足す
#
# ノートブック 7 の問いを、最も簡単な形で試します。最初は `saferpaca` で、ほかのアダプターをマージ係数 1 で一つずつ足していきます。最初のタスクの改善は、どれだけ残るでしょうか。

# %%
def along(adapters, alone, at_end):
    first, found = names[0], {1: 1.0}
    for count in (2, 3):
        some = {name: adapters[name] for name in names[:count]}
        loss = merged(some, scored=[first])[first]
        found[count] = kept_gain(bare[first].value, alone[first].value, loss.value)
    return found | {4: whole[at_end][first].value}


lines = {
    "random_at_one": along(random, alone_random, "random_at_one"),
    "conditioned_at_one": along(conditioned, alone_conditioned, "conditioned_at_one"),
}
show(figures.dial("adapters", lines, LANGUAGE))

# %% lang="en" tags=["said"]
say(
    f"With all four, {percent(lines['conditioned_at_one'][4])} of the first task's gain is left with a conditioned A, {percent(lines['random_at_one'][4])} with a random one.\n\n"
    "| finding on the small base | here |\n|---|---|\n"
    + f"| masks overlap by preference, hardly by entries | {'holds' if found - row_chance < 0.25 * (found - plain_chance) else 'does not hold'} |\n"
    + f"| independent random A do not silence other tasks' adapters | {'holds' if mean_random > 0.5 else 'does not hold'} |\n"
    + f"| with a random A a merge at weight 1 breaks | {'holds' if kept['random_at_one'] < 0.5 else 'does not hold'} |\n"
    + f"| with a conditioned A it keeps nearly all | {'holds' if kept['conditioned_at_one'] > 0.95 else 'holds in part' if better.verdict == 'shown' else 'does not hold'} |\n"
    + f"| what is kept is the task's own | {'holds' if own_counts.verdict == 'shown' else 'is not shown'} |"
)

# %% lang="ja" tags=["said"]
say(
    f"四つすべてを足したとき、最初のタスクの改善は、条件付き A で {percent(lines['conditioned_at_one'][4])}、ランダムな A で {percent(lines['random_at_one'][4])} 残ります。\n\n"
    "| 小さなベースでわかったこと | ここでは |\n|---|---|\n"
    + f"| マスクの重なりは偏りによるもので、要素の一致はほとんどない | {'成り立つ' if found - row_chance < 0.25 * (found - plain_chance) else '成り立たない'} |\n"
    + f"| 独立なランダムな A でも、ほかのタスクのアダプターの影響は消えない | {'成り立つ' if mean_random > 0.5 else '成り立たない'} |\n"
    + f"| ランダムな A では、マージ係数 1 のマージが壊れる | {'成り立つ' if kept['random_at_one'] < 0.5 else '成り立たない'} |\n"
    + f"| 条件付き A では、ほとんど残る | {'成り立つ' if kept['conditioned_at_one'] > 0.95 else '一部成り立つ' if better.verdict == 'shown' else '成り立たない'} |\n"
    + f"| 残るのは、そのタスク自身のもの | {'成り立つ' if own_counts.verdict == 'shown' else '示されない'} |"
)

# %% [markdown] lang="en"
# ## Try it yourself
#
# - Which map keeps most entries, of which kind is it, and is it the same for all four tasks?
# - Leave `codealpaca` out of the merge. Does the average of the three others rise?
#
# ## What this does not show
#
# Anything about larger models, or about answers: these losses are of five easy rows a task, one seed, and adapters of thirty short steps. The study behind them, with data sets' own rows and intervals, is in `docs/measured.md`.

# %% [markdown] lang="ja"
# ## やってみよう
#
# - 最も多くの要素を残す写像はどれで、どの種類でしょうか。四つのタスクで同じでしょうか。
# - `codealpaca` をマージから外してください。ほかの三つの平均は上がるでしょうか。
#
# ## ここからはわからないこと
#
# もっと大きなモデルについても、答えそのものについても、何もわかりません。損失は、タスクごとに五個の易しい例、一つのシード、短い三十ステップで学習したアダプターのものです。データセットの例で測り、信頼区間も付けたスタディは `docs/measured.ja.md` にあります。

# %% [markdown] lang="en" tags=["answer"]
# ## Answers to "Try it yourself"

# %% [markdown] lang="ja" tags=["answer"]
# ## 「やってみよう」の答え

# %% tags=["answer"]
def fullest(adapter):
    shares = {module: float(mask.float().mean()) for module, mask in adapter.masks.items()}
    module = max(shares, key=lambda each: shares[each])
    return module.removeprefix("model."), shares[module]


full = {name: fullest(adapter) for name, adapter in random.items()}
kinds = {module.rsplit(".", 1)[-1] for module, _ in full.values()}
three = {name: adapter for name, adapter in conditioned.items() if name != "codealpaca"}
before = mean([whole["conditioned_at_one"][name].value for name in three])
left = merged(three, scored=list(three))
after = mean([kept_gain(bare[name].value, alone_conditioned[name].value, left[name].value) for name in three])

# %% lang="en" tags=["answer", "said"]
say(
    f"- **The fullest map.** {'; '.join(f'{name}: {module}, {percent(share)}' for name, (module, share) in full.items())}. "
    + ("They are all of one kind.\n" if len(kinds) == 1 else f"Kinds: {', '.join(sorted(kinds))}.\n")
    + f"- **Without codealpaca.** The three others keep {percent(after)} on average, {percent(before)} beside it (conditioned A). "
    + ("Code was what disturbed them most." if after - before > 0.02 else "It did them hardly any harm.")
)

# %% lang="ja" tags=["answer", "said"]
say(
    f"- **最も多く残す写像。** {'、'.join(f'{name} は {module}（{percent(share)}）' for name, (module, share) in full.items())} です。"
    + ("種類はどれも同じです。\n" if len(kinds) == 1 else f"種類は {'、'.join(sorted(kinds))} です。\n")
    + f"- **codealpaca を外すと。** ほかの三つに残る割合は平均 {percent(after)} で、外す前は {percent(before)} でした（条件付き A）。"
    + ("いちばん邪魔をしていたのはコードでした。" if after - before > 0.02 else "ほとんど害はありませんでした。")
)
