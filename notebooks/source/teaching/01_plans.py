# %% [markdown] lang="en"
# # Two plans
#
# Before the lesson: run every notebook that the plan uses once, on a machine of the classroom. Students open the copies in `my/`; a notebook stops at each exercise that is not solved. Where the plan leaves exercises out, hand out the notebook from `solution/`: its exercises are filled in, and its predictions are still open.
#
# Let everybody **write the guess down** before the cell with the result is run, and ask two or three for their reason. The reason is what the lesson is about.
#
# ## 90 minutes: do two tasks disturb each other?
#
# | minutes | what | where |
# |---|---|---|
# | 15 | W, A, B and the mask on the board, with the handout. Solve the exercise in pairs. Guess: *{{asked share_of_lora}}* | {{task 01 1}} |
# | 20 | Solve the exercise. Guess: *{{asked cosine}}*. Then the control, one A for both tasks | {{task 02 1}} |
# | 25 | From `solution/`. Guess: *{{asked cross_talk}}*. Let the silence after the result last. Then what A lets through | {{go 05 What the model computes: predict}} |
# | 20 | From `solution/`. Guess: *{{asked lost_by_safety}}*. Whose entries were safest, and which knob did it | {{go 07 Predict: whose entries are safest?}} |
# | 10 | The page of `lori class`: where was the class farthest off, and what did it take for granted? | [02_wrong_ideas](02_wrong_ideas.ipynb) |
#
# ## 3 hours: from the layer to a model that forgets nothing
#
# | minutes | what | where |
# |---|---|---|
# | 20 | W, A, B and the mask; count, then write the layer. Guess: *{{asked share_of_lora}}* | {{task 01 2}} |
# | 20 | Guess: *{{asked cosine}}*, then *{{asked more_rank}}* | {{go 02 More rank, more collision?}} |
# | 35 | The mask and its control, both by the students' functions. Guess: *{{asked longer_calibration}}* | {{task 03 3}} |
# | 10 | Break | |
# | 25 | Guess: *{{asked cross_talk}}*. The exercise is hard: give the first hint to all | {{task 05 3}} |
# | 30 | Guess: *{{asked kept_merged}}*, then *{{asked wrong_merge}}* | {{task 06 1}} |
# | 25 | Guess: *{{asked lost_by_safety}}*. Then the blind A, which a student writes on the board | {{task 07 3}} |
# | 15 | The page of `lori class`, and what one seed and small tasks do not show | [02_wrong_ideas](02_wrong_ideas.ipynb) |
#
# Notebook 4 is for homework before a course on training, notebook 8 for who wants to try LoRI on data of their own, notebook 9 for a class that asks whether this holds on a real language model.

# %% [markdown] lang="ja"
# # 二つの授業案
#
# 授業の前に：使うノートブックを、教室のパソコンで一度実行しておいてください。学生が開くのは `my/` のコピーで、解いていない演習のところで止まります。授業案にない演習を飛ばすには、`solution/` のノートブックを配ってください。演習は埋まっていますが、予想は空いたままです。
#
# 結果のセルを実行する前に、全員に**予想を書かせて**ください。そして二、三人に理由を聞きます。その理由こそが、授業の内容です。
#
# ## 90 分：二つのタスクは互いに邪魔をするのか
#
# | 分 | 内容 | 場所 |
# |---|---|---|
# | 15 | 配布資料を使い、W、A、B、マスクを黒板で説明します。演習は二人一組で。予想：*{{asked share_of_lora}}* | {{task 01 1}} |
# | 20 | 演習を解きます。予想：*{{asked cosine}}*。続いて、A を共有する対照条件 | {{task 02 1}} |
# | 25 | `solution/` を使います。予想：*{{asked cross_talk}}*。結果が出たら、少し黙って待ちます。続いて、A が何を通すか | {{go 05 出力（活性値）で見た干渉：予想}} |
# | 20 | `solution/` を使います。予想：*{{asked lost_by_safety}}*。どの要素が最も安全で、効いたつまみは何か | {{go 07 予想：どの要素を動かすのが最も安全か}} |
# | 10 | `lori class` のページ：受講者の予想が最も外れたのはどこで、何を当然と思っていたのか | [02_wrong_ideas](02_wrong_ideas.ipynb) |
#
# ## 3 時間：層から、何も忘れないモデルまで
#
# | 分 | 内容 | 場所 |
# |---|---|---|
# | 20 | W、A、B、マスク。数えてから、層を書きます。予想：*{{asked share_of_lora}}* | {{task 01 2}} |
# | 20 | 予想：*{{asked cosine}}*、続いて *{{asked more_rank}}* | {{go 02 rank が高いほど、ぶつかりやすいのか}} |
# | 35 | マスクとその対照条件を、どちらも学生の関数で。予想：*{{asked longer_calibration}}* | {{task 03 3}} |
# | 10 | 休憩 | |
# | 25 | 予想：*{{asked cross_talk}}*。演習は難しいので、一つ目のヒントは全員に示します | {{task 05 3}} |
# | 30 | 予想：*{{asked kept_merged}}*、続いて *{{asked wrong_merge}}* | {{task 06 1}} |
# | 25 | 予想：*{{asked lost_by_safety}}*。続いて「見ない A」を、学生の一人が黒板に書きます | {{task 07 3}} |
# | 15 | `lori class` のページ。そして、一つのシードと小さなタスクからはわからないこと | [02_wrong_ideas](02_wrong_ideas.ipynb) |
#
# ノートブック 4 は、学習についての授業の予習に向いています。ノートブック 8 は、自分のデータで LoRI を試したい人のためのものです。「実際の言語モデルでも成り立つのか」と聞かれたら、ノートブック 9 が答えになります。
