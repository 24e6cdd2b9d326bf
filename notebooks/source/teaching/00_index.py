# %% [markdown] lang="en"
# # LoRI in nine notebooks
#
# 日本語：[00_index](../ja/00_index.ipynb)
#
# Begin with notebook 1. Each has one question, asks for a guess before it shows a result, lets **your** functions do the work, sets a control beside its claim, and says what it does not show. Where you are stuck, open the first hint, then the second, then the solution, which answers every "try it yourself" as well.
#
# | notebook | question | exercises | minutes | stuck? |
# |---|---|---|---|---|
# {{map}}
#
# Minutes, {{total}} in all, are reckoned from the text and the exercises: nobody's time was measured. "Try it yourself" is not in them. Running a notebook takes about a minute.
#
# Which comes before which (6 needs 2 as well, 7 needs 3):
#
# ```
#       ┌── 2 ───────┬── 5
#  1 ───┤            │
#       └── 3 ──┬─────┘
#               └── 4 ──┬── 6 ── 8
#                       └── 7
# ```

# %% [markdown] lang="ja"
# # 九つのノートブックで学ぶ LoRI
#
# English: [00_index](../en/00_index.ipynb)
#
# ノートブック 1 から始めてください。どれも一つの問いから始まり、結果を見る前に予想を求め、**あなたの**関数を使って実験し、主張のそばに対照条件を置き、そこからはわからないことを述べて終わります。行き詰まったら、一つ目のヒント、二つ目のヒント、解答の順に開いてください。「やってみよう」の答えも、すべて解答にあります。
#
# | ノートブック | 問い | 演習 | 分 | 行き詰まったら |
# |---|---|---|---|---|
# {{map}}
#
# 時間は合計 {{total}} 分で、文章と演習の量から計算した目安です。実際に測ったものではありません。「やってみよう」は含みません。一つの実行にかかる時間は一分ほどです。
#
# どれがどれより先か（6 には 2 も、7 には 3 も必要です）：
#
# ```
#       ┌── 2 ───────┬── 5
#  1 ───┤            │
#       └── 3 ──┬─────┘
#               └── 4 ──┬── 6 ── 8
#                       └── 7
# ```

# %% lang="en"
LANGUAGE = "en"

# %% lang="ja"
LANGUAGE = "ja"

# %% [markdown] lang="en"
# ## How far you are
#
# From the guesses that the notebooks kept beside themselves.

# %% [markdown] lang="ja"
# ## どこまで進んだか
#
# ノートブックが隣に残した予想のファイルから数えます。

# %%
from lori_core.lessons.showing import progress

progress("../../student", LANGUAGE)

# %% [markdown] lang="en"
# ## For teachers
#
# - [Plans for 90 minutes and for 3 hours](01_plans.ipynb)
# - [Wrong ideas: which prediction exposes each, which result corrects it, what to say](02_wrong_ideas.ipynb)
# - [Slides](slides.html), with notes: open the file in a browser (arrow keys; N: notes; P: print)
# - [Handout: one page to print](03_handout.ipynb)
# - `lori class FOLDER` draws what a class guessed: put copies of the students' `guesses.json` into one folder, under any names. They hold no names, and no network is needed.
# - Nothing to install: `make notebooks-offline` runs notebooks 2, 3, 5 and 6, which takes minutes, and writes one page a language, `my/lori-en.html` and `my/lori-ja.html`. A page opens in any browser, without a network; its sliders turn.
#
# Print or share a page with `jupyter nbconvert --to html FILE`.

# %% [markdown] lang="ja"
# ## 教員の方へ
#
# - [90 分の授業案と 3 時間の授業案](01_plans.ipynb)
# - [よくある誤解：明らかにする予想、正す結果、かける言葉](02_wrong_ideas.ipynb)
# - [スライド](slides.html)（メモ付き）：ファイルをブラウザーで開きます（矢印キーで進む、N でメモ、P で印刷）
# - [配布資料：印刷して一枚](03_handout.ipynb)
# - `lori class FOLDER` は、受講者の予想をグラフにします。学生の `guesses.json` を、好きな名前で一つのフォルダーに集めてください。名前は記録されず、ネットワークも要りません。
# - インストールなしで：`make notebooks-offline` は、ノートブック 2、3、5、6 を実行し（数分かかります）、言語ごとに一つのページ `my/lori-en.html` と `my/lori-ja.html` を書き出します。どのブラウザーでも、ネットワークなしで開け、スライダーも動きます。
#
# `jupyter nbconvert --to html FILE` で、印刷や共有のための HTML になります。
