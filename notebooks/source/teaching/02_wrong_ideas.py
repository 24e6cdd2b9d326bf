# %% [markdown] lang="en"
# # Wrong ideas, and what corrects them
#
# Do not correct a wrong idea before the result does. Ask who shares it, have the number written down, run the cell, and ask again. Each idea below says which number it predicts, so you can see in the page of `lori class` how many held it.
#
# ## 1 · “Updates at right angles do not interfere”
#
# - **Predict:** {{asked cross_talk}}. The idea says 0, or nearly.
# - **Result:** {{go 05 What the model computes: predict}}. The sentence below the figure puts the cosine and the cross-talk side by side.
# - **Say:** A right angle makes two changes *unrelated*. It does not make either of them small. A cosine of updates weighs all directions of the input alike; a task's inputs lie in a few of them, and a random A reads those as well as any. What helps is an A that does not read them: {{go 05 Then remove it}}.
#
# ## 2 · “Sparse is faster”
#
# - **Predict:** {{asked sparse_speed}}. The idea says 0.1.
# - **Result:** {{go 04 Sparse, so faster?}}
# - **Say:** A mask says what is *trained*, not what is multiplied. The kept values are put into a dense matrix, and a machine multiplies that whole. What is saved can be counted: values, optimizer state, bytes ({{task 04 2}}).
#
# ## 3 · “Overlap of masks predicts what is lost”
#
# - **Predict:** {{asked lost_by_safety}}. The overlap is complete there, so the idea says: most of it.
# - **Result:** {{go 07 Entries, overlap and rate, one at a time}}. Read **Entries** and **Overlap** beside each other.
# - **Say:** The same entry moved is not the same output changed. Other entries reach the same outputs, so to keep off a task's entries is not to keep off the task. And under an A of its own, an entry of B means something else: {{go 05 Directions, and a control that should collide}}.
#
# ## 4 · “More calibration is always better”
#
# - **Predict:** {{asked longer_calibration}}. The idea says: clearly above 0.
# - **Result:** {{go 03 Longer, so better?}}, beside the random mask of {{go 03 A control that should lose: a mask drawn at random}}.
# - **Say:** A mask that no longer changes has settled on what *grew most*. That is not yet what is *needed*. Ask what a settled mask would have to beat: a random one with as many entries in each map.
#
# ## 5 · “The mask decides what is forgotten”
#
# - **Predict:** {{asked lost_by_safety}}. Here the idea says that other entries would be safe.
# - **Result:** {{go 07 What A sees}}. Rate and sparsity are the same in all rows; what A reads is not.
# - **Say:** Turn one knob at a time. Masks moved little here, the rate and what A reads moved much. Then ask what the notebook asks: were the sums still learned?
#
# ## Two more
#
# - **“More rank, more collisions.”** Predict: {{asked more_rank}}, where the idea says much more than 1. Result: {{go 02 More rank, more collision?}} Many chances to meet average out.
# - **“Adding factors is wrong.”** Predict: {{asked wrong_merge}}, where the idea says about 1. Result: {{go 06 The wrong merge that is exact}} A method is wrong or right for the adapters that it is given.
#
# ## What no result here shows
#
# All of it is measured on a base of a few million parameters, on small tasks, mostly with one seed. A student who says so is right, and has understood the last section of each notebook.

# %% [markdown] lang="ja"
# # よくある誤解と、それを正す結果
#
# 誤解は、結果より先に正さないでください。同じ考えの人がいるか尋ね、数を書かせ、セルを実行し、もう一度尋ねます。下のどの誤解にも、それが予測する数が書いてあります。そう考えた人が何人いたかは、`lori class` のページでわかります。
#
# ## 1 ·「直交する更新は、互いに邪魔をしない」
#
# - **予想：** {{asked cross_talk}}。この考えでは、0 か、それに近い値です。
# - **結果：** {{go 05 出力（活性値）で見た干渉：予想}}。図の下の文に、コサインとクロストークが並んでいます。
# - **かける言葉：** 直交していれば、二つの変化は*無関係*になります。小さくなるわけではありません。更新のコサインは、入力のすべての方向を同じ重さで数えますが、タスクの入力はそのうち少数の方向にあり、ランダムな A はそれもほかと同じように読みます。助けになるのは、それを読まない A です：{{go 05 では、取り除く}}。
#
# ## 2 ·「疎なら速い」
#
# - **予想：** {{asked sparse_speed}}。この考えでは 0.1 です。
# - **結果：** {{go 04 疎なら、速いのか}}
# - **かける言葉：** マスクが決めるのは何を*学習する*かであり、何を掛けるかではありません。残した値は密な行列に入れられ、その全体が掛けられます。節約できるものは数えられます：値、オプティマイザーの状態、バイト数（{{task 04 2}}）。
#
# ## 3 ·「マスクの重なりから、失われる量がわかる」
#
# - **予想：** {{asked lost_by_safety}}。ここでは完全に重なるので、この考えでは、ほとんどが失われます。
# - **結果：** {{go 07 要素、重なり、学習率を一つずつ}}。**要素**と**重なり**の文を見比べてください。
# - **かける言葉：** 同じ要素が動いても、同じ出力が変わるとは限りません。別の要素も同じ出力に届くので、タスクの要素を避けても、タスクを避けたことにはなりません。また、A が違えば、B の同じ要素でも意味が違います：{{go 05 方向と、ぶつかるはずの対照条件}}。
#
# ## 4 ·「キャリブレーションは長いほどよい」
#
# - **予想：** {{asked longer_calibration}}。この考えでは、はっきり 0 より大きい値です。
# - **結果：** {{go 03 長いほど、よいのか}}。{{go 03 成績が落ちるはずの対照条件：ランダムなマスク}} の結果と並べて見ます。
# - **かける言葉：** もう変わらないマスクは、*最も大きく育った*要素に落ち着いています。それが*必要な*要素だとは限りません。落ち着いたマスクは何に勝たなければならないか、尋ねてください。写像ごとの要素数が同じ、ランダムなマスクです。
#
# ## 5 ·「何を忘れるかは、マスクで決まる」
#
# - **予想：** {{asked lost_by_safety}}。この考えでは、別の要素なら安全なはずです。
# - **結果：** {{go 07 A が見るもの}}。どの行でも学習率とスパース率は同じで、違うのは A が何を読むかです。
# - **かける言葉：** つまみは一つずつ回します。ここでは、マスクではあまり変わらず、学習率と、A が何を読むかで大きく変わりました。そして、ノートブックと同じことを尋ねてください。計算は学べていましたか。
#
# ## あと二つ
#
# - **「rank が高いほどぶつかる」** 予想：{{asked more_rank}}。この考えでは、1 よりずっと大きい値です。結果：{{go 02 rank が高いほど、ぶつかりやすいのか}} 重なる機会が増えても、平均されて打ち消し合います。
# - **「因子を足すのは間違い」** 予想：{{asked wrong_merge}}。この考えでは、およそ 1 です。結果：{{go 06 正確になる「間違った」マージ}} 方法が間違っているかどうかは、どのアダプターに使うかで決まります。
#
# ## どの結果からもわからないこと
#
# すべて、数百万パラメーターのベースと小さなタスクで、多くは一つのシードで測ったものです。そう指摘する学生は正しく、各ノートブックの最後の節を理解しています。
