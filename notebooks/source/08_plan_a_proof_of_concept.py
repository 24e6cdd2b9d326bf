# %% [markdown] lang="en" tags=["question"]
# # 8 · Plan a proof of concept
#
# **Question: should *we* use LoRI, at which sparsity, and what would it save?**
#
# This notebook is a checklist that runs. It has two small tasks as CSV files standing in for yours; put your files and your base in their place, and the decision at the end is about your case.
#
# 1. Data as files, and a look at them
# 2. A study: methods, merge, control
# 3. What it cost
# 4. A sweep of sparsity
# 5. A decision
# 6. A report
#
# **Exercises:** ★ one line · ★★ one idea and a line or two · ★★★ think on paper first. Each has two folded hints: the idea, then nearly the code.

# %% [markdown] lang="ja" tags=["question"]
# # 8 · 概念実証を計画する
#
# **問い：*自分たちは* LoRI を使うべきでしょうか。スパース率はいくつで、何が節約できるのでしょうか。**
#
# このノートブックは、実行できるチェックリストです。二つの小さなタスクの CSV が、あなたのデータの代わりをします。自分のファイルとベースに置き換えれば、最後の決定は、あなた自身のケースについての決定になります。
#
# 1. ファイルにしたデータと、その確認
# 2. スタディ：手法、マージ、対照条件
# 3. コスト
# 4. スパース率の比較
# 5. 決定
# 6. レポート
#
# **演習：** ★ は一行、★★ は一工夫、★★★ はまず紙の上で考えるものです。どれにもヒントが二つ折りたたまれています。一つ目は考え方、二つ目はほぼコードです。

# %% lang="en"
LANGUAGE = "en"

# %% lang="ja"
LANGUAGE = "ja"

# %%
import csv
import math
from pathlib import Path
from tempfile import mkdtemp

from lori_core import (
    AdapterConfig, LoRIError, StudyConfig, TrainConfig, figures, findings, learn, load_task, run_study, study_page,
    training_for,
)
from lori_core.lessons import checks
from lori_core.lessons.controls import judge
from lori_core.lessons.showing import embedded_base, guessed, percent, say, score, show, told, warnings

folder = Path(mkdtemp(prefix="lori-"))

# %% [markdown] lang="en"
# ## Three formulas first
#
# ### Exercise 1: what a merge keeps ★
#
# A merged score means little alone: the base may have managed part of the task by itself. **Retention** is the share of what the single adapter *gained over the base* that the merge keeps.
#
# <details><summary>Hint 1: the idea</summary>
#
# What did the single adapter gain over the base, and what did the merged one?
# </details>
#
# <details><summary>Hint 2: nearly the code</summary>
#
# `(merged - base) / (...)`
# </details>

# %% [markdown] lang="ja"
# ## まず式を三つ
#
# ### 演習 1：マージが残すもの ★
#
# マージ後のスコアだけでは、あまり意味がありません。ベースだけでも、ある程度できるかもしれないからです。**保持率**は、単独のアダプターが*ベースから伸ばした分*のうち、マージが残す割合です。
#
# <details><summary>ヒント 1：考え方</summary>
#
# 単独のアダプターは、ベースからどれだけ伸ばしたでしょうか。マージしたものはどうでしょうか。
# </details>
#
# <details><summary>ヒント 2：ほぼコード</summary>
#
# `(merged - base) / (...)`
# </details>

# %% tags=["exercise"]
def retention(base, single, merged):
    share = (merged - base) / (single - base)  # solution
    return share

# %% tags=["check"]
checks.retention(retention, LANGUAGE)

# %% [markdown] lang="en"
# ### Exercise 2: the rule of decision, before the results ★★
#
# Write down the rule while you do not know whom it favours. `scores` maps sparsity to score; return the **highest** sparsity whose score is at most `tolerance` below the **best** one.
#
# <details><summary>Hint 1: the idea</summary>
#
# Two steps: what is the best score, and which sparsities come close enough to it? Of those the highest.
# </details>
#
# <details><summary>Hint 2: nearly the code</summary>
#
# `best = max(scores.values())`, then the largest key whose score is `>= best - tolerance`.
# </details>

# %% [markdown] lang="ja"
# ### 演習 2：結果を見る前に、決め方を決める ★★
#
# どれが有利かを知らないうちに、規則を書いておきます。`scores` はスパース率からスコアへの辞書です。スコアと**最高点**との差が `tolerance` 以内に収まる、**最大**のスパース率を返してください。
#
# <details><summary>ヒント 1：考え方</summary>
#
# 二段階で考えます。最高点はいくつか、それに十分近いスパース率はどれか。そのうち最大のものです。
# </details>
#
# <details><summary>ヒント 2：ほぼコード</summary>
#
# `best = max(scores.values())` とし、スコアが `>= best - tolerance` であるキーのうち最大のものを選びます。
# </details>

# %% tags=["exercise"]
def decide(scores, tolerance):
    # solution
    best = max(scores.values())
    sparsity = max(each for each, value in scores.items() if value >= best - tolerance)
    return sparsity
    # end

# %% tags=["check"]
checks.decide(decide, LANGUAGE)

# %% [markdown] lang="en"
# ### Exercise 3: how many test examples? ★★
#
# How fine a difference can be told is decided before anything is trained, by the number of test examples. For a share that is about `share`, return the **fewest** examples whose 95 % interval is at most `half_width` wide to either side.
#
# <details><summary>Hint 1: the idea</summary>
#
# To either side the interval of a share p over n examples is 1.96 · √(p (1 − p) / n) wide. Solve for n. No part of an example can be tested.
# </details>
#
# <details><summary>Hint 2: nearly the code</summary>
#
# `math.ceil(1.96**2 * share * (1 - share) / ...)`
# </details>

# %% [markdown] lang="ja"
# ### 演習 3：テスト例はいくつ必要か ★★
#
# どれだけ小さな差がわかるかは、学習の前に、テスト例の数で決まります。正答率がおよそ `share` のとき、95 % 信頼区間の片側の幅が `half_width` 以下になる**最小**の例の数を返してください。
#
# <details><summary>ヒント 1：考え方</summary>
#
# n 個の例で測った割合 p の信頼区間は、片側の幅が 1.96 · √(p (1 − p) / n) です。n について解きます。例を一部だけ使うことはできません。
# </details>
#
# <details><summary>ヒント 2：ほぼコード</summary>
#
# `math.ceil(1.96**2 * share * (1 - share) / ...)`
# </details>

# %% tags=["exercise"]
def examples_needed(share, half_width):
    count = math.ceil(1.96**2 * share * (1 - share) / half_width**2)  # solution
    return count

# %% tags=["check"]
checks.examples_needed(examples_needed, LANGUAGE)

# %% [markdown] lang="en"
# ## 1 · Data
#
# Each file has a column for the prompt and one for the response. Replace these with yours (CSV, JSON Lines or Parquet).

# %% [markdown] lang="ja"
# ## 1 · データ
#
# どのファイルにも、プロンプトの列と応答の列があります。自分のもの（CSV、JSON Lines、Parquet）に置き換えてください。

# %%
def as_csv(name, rows=600):
    with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["question", "answer"])
        writer.writerows((each.prompt, each.response.strip()) for each in load_task(name).examples("train")[:rows])
    return f"{name}={folder / name}.csv?prompt=question&response=answer&max_new_tokens=32"


specs = (as_csv("math") + "&scorer=number", as_csv("safety") + "&scorer=exact")
tasks = [load_task(spec) for spec in specs]
{task.name: {split: len(task.examples(split)) for split in ("train", "validation", "test")} for task in tasks}

# %%
example = tasks[0].examples("train")[0]
print(example.prompt, "→", example.response)

# %% [markdown] lang="en"
# The splits were made for you, by a hash of the prompt, and no prompt is in two of them. Read at least twenty examples before you go on: no method mends bad data (notebook 3).
#
# ## 2 · The study
#
# Three methods, both tasks, merged, and the control with one shared `A`. On a real base take more steps, more merge weights and at least three seeds; here it must be done in under a minute.

# %% [markdown] lang="ja"
# 分割は、プロンプトのハッシュで自動的に行われ、同じプロンプトが二つの分割に入ることはありません。進む前に、少なくとも二十例は読んでください。悪いデータは、どの手法でも直りません（ノートブック 3）。
#
# ## 2 · スタディ
#
# 三つの手法、二つのタスク、マージ、そして `A` を共有する対照条件です。本物のベースでは、ステップを増やし、マージ係数をもっと試し、シードは三つ以上にしてください。ここでは一分以内で終わらせます。

# %% [markdown] lang="en" tags=["prediction"]
# **Predict:** what will LoRI-S retain of its gain over the base when both tasks are merged, on average over the tasks? (1: everything.)

# %% [markdown] lang="ja" tags=["prediction"]
# **予想：** 二つのタスクをマージしたとき、LoRI-S は、ベースから伸ばした分のうち、平均してどれだけを保つでしょうか。（1 ならすべて）

# %%
guess = None

# %%
rates = {method: training_for("embedded")[method].learning_rate for method in ("lora", "lori_d", "lori_s")}
settings = {method: TrainConfig(learning_rate=rate, steps=12, batch_size=8) for method, rate in rates.items()}
config = StudyConfig(
    tasks=specs, train=settings, adapter=AdapterConfig(sparsity=0.9), device="cpu", precision="fp32",
    merge_weights=(0.6, 1.0), continual=None, validation_examples=32, test_examples=32,
)
embedded_base(LANGUAGE)  # quiet from here on
result = run_study(config, folder / "study", told(LANGUAGE))

# %%
merge_s = next(each for each in result.merges if each.method == "lori_s")
single_s = {each.task: each.score.value for each in result.singles if each.method == "lori_s"}
gained = [t for t in result.tasks if single_s[t] > result.base_scores[t].value]  # no share can be kept of no gain
kept = [retention(result.base_scores[t].value, single_s[t], merge_s.scores[t].value) for t in gained]
guessed("retained", guess, sum(kept) / len(kept) if kept else float("nan"), LANGUAGE)

# %%
tests_single = {each.task: each.score for each in result.singles if each.method == "lori_s"}
cost_of_merging = judge(tests_single, merge_s.scores)
above = [t for t, share in zip(gained, kept) if share > 1]

# %% lang="en" tags=["said"]
say(
    cost_of_merging.said("LoRI-S, single", "LoRI-S, merged", LANGUAGE)
    + (
        f" On {', '.join(above)} more than everything is kept. That is no gift of merging: retention divides by what the single adapter gained, and after {settings['lori_s'].steps} steps "
        f"that one scores {', '.join(f'{single_s[t]:.2f}' for t in above)}, less than it would after a longer training. The closer the base is to the single adapter, the further one example moves the share."
        if above
        else ""
    )
)

# %% lang="ja" tags=["said"]
say(
    cost_of_merging.said("単独の LoRI-S", "マージした LoRI-S", LANGUAGE)
    + (
        f"{'、'.join(above)} では 1 を超えました。マージの手柄ではありません。保持率は単独のアダプターが伸ばした分で割った値で、{settings['lori_s'].steps} ステップの学習では、"
        f"そのスコアは {'、'.join(f'{single_s[t]:.2f}' for t in above)} にとどまり、まだ学習の途中だからです。ベースと単独のアダプターの差が小さいほど、一例の違いで保持率が大きく動きます。"
        if above
        else ""
    )
)

# %%
show(figures.scores(result, LANGUAGE))

# %% [markdown] lang="en" tags=["control"]
# The control is in the next figure: grey crosses are LoRI-D adapters that share one `A`. If they merge as well as the others, your tasks do not need an `A` each.

# %% [markdown] lang="ja" tags=["control"]
# 対照条件は次の図にあります。灰色の×印は、`A` を共有する LoRI-D です。これがほかと同じようにマージできるなら、あなたのタスクに、タスクごとの `A` は必要ありません。

# %%
show(figures.merged(result, "concat", LANGUAGE))

# %%
dense_merges = {m.shared_projection: m.scores for m in result.merges if (m.method, m.merge) == ("lori_d", "concat")}
own_A = judge(dense_merges[False], dense_merges[True])

# %% lang="en" tags=["said"]
say(own_A.said("LoRI-D merged, an A for each task", "one shared A", LANGUAGE))

# %% lang="ja" tags=["said"]
say(own_A.said("タスクごとの A でマージした LoRI-D", "共有した A", LANGUAGE))

# %% [markdown] lang="en"
# The sentences below are computed from the numbers, also where LoRI loses; the second list is what to know before believing them.

# %% [markdown] lang="ja"
# 下の文は、数値から計算されたものです。LoRI が劣る場合もそのまま書かれます。二つ目のリストは、信じる前に知っておくべきことです。

# %%
say("\n".join(f"- {sentence}" for sentence in findings(result, LANGUAGE)))

# %%
say("\n".join(f"- {sentence}" for sentence in warnings(result, LANGUAGE)))

# %% [markdown] lang="en"
# ## 3 · What it cost

# %% [markdown] lang="ja"
# ## 3 · コスト

# %%
show(figures.cost(result, LANGUAGE))

# %% [markdown] lang="en"
# ## 4 · A sweep of sparsity
#
# 90 % is a habit and no law. One task, three sparsities, the same training; the study above has two of them already.

# %% [markdown] lang="ja"
# ## 4 · スパース率の比較
#
# 90 % は習慣であって、法則ではありません。一つのタスクで、三つのスパース率を同じ学習で試します。そのうち二つは、上のスタディで済んでいます。

# %%
base, task = embedded_base(LANGUAGE), tasks[0]
singles = {each.method: each for each in result.singles if each.task == task.name}
sparsest = learn(base, task, "lori_s", AdapterConfig(sparsity=0.99), settings).adapter
at_99 = score(base, sparsest, [task], config.validation_examples, "validation")[task.name]
sweep = {0.0: singles["lori_d"].validation, 0.9: singles["lori_s"].validation, 0.99: at_99}
show(figures.dial("sparsity", {task.name: {s: each.value for s, each in sweep.items()}}, LANGUAGE))

# %% [markdown] lang="en"
# ## 5 · The decision
#
# By the rule that you wrote down before, on **validation** examples: what was chosen on the test cannot be tested on it. The tolerance is coarser than one example is worth. The test is looked at once, for the sparsity that was chosen.

# %% [markdown] lang="ja"
# ## 5 · 決定
#
# 先に書いておいた規則で、**検証用**の例で決めます。テストで選んだものは、同じテストでは確かめられません。許容差は、一例分のスコアより粗くします。テストを見るのは、選んだスパース率で一度だけです。

# %%
tolerance = 2 / config.validation_examples  # two examples
chosen = decide({sparsity: each.value for sparsity, each in sweep.items()}, tolerance)
if chosen == 0.99:
    final = score(base, sparsest, [task], config.test_examples)[task.name]
else:
    final = singles["lori_s" if chosen else "lori_d"].score
needed = examples_needed((final.low + final.high) / 2, tolerance)  # the middle: a share of 1 has no spread
trained = {each.method: each.trained_parameters for each in result.singles}
stored = {each.method: each.file_bytes for each in result.singles}

# %% lang="en" tags=["said"]
say(
    f"**Chosen sparsity: {chosen:g}**, chosen on {sweep[chosen].n} validation examples with a tolerance of {tolerance:.3f}, where one example is worth {1 / sweep[chosen].n:.3f}. On the test it scores {final.value:.2f} (95 % interval {final.low:.2f} to {final.high:.2f}, n = {final.n}). "
    f"At 0.9 an adapter trains {trained['lori_s']:,} values ({percent(trained['lori_s'] / trained['lora'])} of LoRA's) and takes {stored['lori_s'] / 1000:.0f} kB in place of {stored['lora'] / 1000:.0f} kB. "
    f"With these intervals, differences below {final.high - final.low:.2f} cannot be told from noise; an interval of at most the tolerance to either side would take {needed} test examples, by your formula."
)

# %% lang="ja" tags=["said"]
say(
    f"**選ばれたスパース率：{chosen:g}**、検証用の {sweep[chosen].n} 例で、許容差 {tolerance:.3f}（一例は {1 / sweep[chosen].n:.3f}）として選びました。テストのスコアは {final.value:.2f} です（95 % 信頼区間 {final.low:.2f}〜{final.high:.2f}、n = {final.n}）。"
    f"0.9 のアダプターが学習する値は {trained['lori_s']:,} 個（LoRA の {percent(trained['lori_s'] / trained['lora'])}）、ファイルは {stored['lora'] / 1000:.0f} kB の代わりに {stored['lori_s'] / 1000:.0f} kB です。"
    f"この信頼区間では、{final.high - final.low:.2f} より小さい差は、ノイズと区別できません。あなたの式によると、片側が許容差以下の信頼区間には、テスト例が {needed} 個必要です。"
)

# %% [markdown] lang="en"
# ## 6 · The report
#
# One HTML file that opens anywhere, without a network.

# %% [markdown] lang="ja"
# ## 6 · レポート
#
# どこでも、ネットワークなしでも開ける、一つの HTML ファイルです。

# %%
page = folder / "report.html"
page.write_text(study_page(result, LANGUAGE), encoding="utf-8")
print(page)

# %% [markdown] lang="en"
# ## Before you say yes
#
# - [ ] Two or three tasks of your own, with test examples that nobody trained on
# - [ ] Each method at a learning rate that was searched for it
# - [ ] At least three seeds, and an interval beside each score
# - [ ] The control: does one shared `A` merge as well?
# - [ ] A random mask at the chosen sparsity (notebook 3)
# - [ ] The rule of decision written down before the results
# - [ ] Benign requests beside harmful ones, wherever safety is at stake
#
# ## Try it yourself
#
# - Put a CSV of your own in place of `math.csv`, with `scorer=exact` or `scorer=contains`. What happens with one of two rows?
# - Change `tolerance` to 0.1. Would you still sign the decision?
#
# ## What this does not show
#
# How this ends on your base. Two toy tasks, one seed and a dozen steps show that the *procedure* runs from files to a report, and no more. `lori study --base YOUR_MODEL --task ...` does the same on a GPU, and `lori estimate` says beforehand whether it fits.

# %% [markdown] lang="ja"
# ## 導入を決める前に
#
# - [ ] 自分のタスクを二つか三つ。テスト用の例は、誰も学習に使っていないこと
# - [ ] どの手法も、それぞれに探した学習率で
# - [ ] シードは三つ以上。どのスコアにも信頼区間を
# - [ ] 対照条件：`A` を共有しても同じようにマージできるか
# - [ ] 選んだスパース率での、ランダムなマスク（ノートブック 3）
# - [ ] 決め方は、結果を見る前に書いておくこと
# - [ ] 安全性に関わるなら、有害な依頼と無害な依頼の両方を
#
# ## やってみよう
#
# - `math.csv` の代わりに自分の CSV を置き、`scorer=exact` か `scorer=contains` を使ってください。二行だけの CSV ではどうなりますか。
# - `tolerance` を 0.1 にしてください。それでも、その決定に署名しますか。
#
# ## ここからはわからないこと
#
# あなたのベースでどうなるかは、わかりません。二つの小さなタスク、一つのシード、十二ステップが示すのは、ファイルからレポートまでの*手順*が動くことだけです。`lori study --base YOUR_MODEL --task ...` で同じことが GPU でできます。収まるかどうかは、先に `lori estimate` でわかります。

# %% [markdown] lang="en" tags=["answer"]
# ## Answers to "Try it yourself"

# %% [markdown] lang="ja" tags=["answer"]
# ## 「やってみよう」の答え

# %% tags=["answer"]
own = load_task(as_csv("nlu", 200) + "&scorer=contains")
in_splits = {split: len(own.examples(split)) for split in ("train", "validation", "test")}
try:
    tiny = load_task(as_csv("code", 2) + "&scorer=exact")
    refused = {split: len(tiny.examples(split)) for split in in_splits}
except LoRIError as error:
    refused = error.in_language(LANGUAGE)
looser = decide({sparsity: each.value for sparsity, each in sweep.items()}, 0.1)

# %% lang="en" tags=["answer", "said"]
say(
    f"- **Your own file.** 200 rows of questions give {in_splits}. Of two rows: {refused}. Without a test example nothing can be judged.\n"
    f"- **A tolerance of 0.1.** It chooses {looser:g}, where {tolerance:g} chose {chosen:g}. It lets {0.1 * sweep[looser].n:.1f} of {sweep[looser].n} validation examples go: sign it only if you wrote it down before."
)

# %% lang="ja" tags=["answer", "said"]
say(
    f"- **自分のファイル。** 200 行の質問は {in_splits} に分かれます。二行だけなら：{refused}。テスト例がなければ、何も判断できません。\n"
    f"- **許容差 0.1。** 選ばれるのは {looser:g} です（{tolerance:g} では {chosen:g}）。検証用の {sweep[looser].n} 例のうち {0.1 * sweep[looser].n:.1f} 例分を失ってもよい、ということです。先に書いておいた場合だけ、署名してください。"
)
