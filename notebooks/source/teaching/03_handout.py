# %% [markdown] lang="en"
# # LoRI on one page
#
# **y = W x + scaling · (mask ⊙ B) A x**
#
# | | shape | what happens to it |
# |---|---|---|
# | W | out_features × in_features | frozen: the base model's |
# | A | rank × in_features | drawn at random, frozen: what the adapter **reads** |
# | B | out_features × rank | trained, from zero: what the adapter **writes** |
# | mask | as B | True where B is trained; the share that is False is the sparsity |
#
# **LoRA** trains A and B. **LoRI-D** trains B. **LoRI-S** trains B for a while, keeps the entries that grew largest over all maps together (calibration), and trains those from zero. **Update:** dW = scaling · B A. **Merge:** one adapter for several tasks, Σ weight · dW. **Cross-talk:** how far another task's adapter moves the activations, as a multiple of what a task's own does. **Forgetting:** best earlier score minus final score.
#
# **Three questions for every result:** What would chance give? What does the control give? Does the interval of the difference hold 0?
#
# | notebook | predict, before you see it | from – to | your guess | measured |
# |---|---|---|---|---|
# {{predictions}}

# %% [markdown] lang="ja"
# # 一枚でわかる LoRI
#
# **y = W x + scaling · (mask ⊙ B) A x**
#
# | | 形 | どうなるか |
# |---|---|---|
# | W | out_features × in_features | 固定：ベースモデルのもの |
# | A | rank × in_features | ランダムに生成して固定：アダプターが何を**読む**か |
# | B | out_features × rank | 0 から学習：アダプターが何を**書く**か |
# | マスク | B と同じ | True の要素を学習します。False の割合がスパース率です |
#
# **LoRA** は A と B を学習します。**LoRI-D** は B を学習します。**LoRI-S** は、B をしばらく学習し、全写像を通して最も大きく育った要素を残し（キャリブレーション）、それらを 0 から学習します。**更新：** dW = scaling · B A。**マージ：** 複数のタスクのための一つのアダプター、Σ マージ係数 · dW。**クロストーク：** 別のタスクのアダプターが活性値をどれだけ動かすかを、自分のアダプターを 1 として測ったもの。**忘却：** それまでの最高点から最終点を引いたもの。
#
# **どの結果にも問うこと：** 偶然ならどうなるか。対照条件ではどうなるか。差の信頼区間は 0 を含むか。
#
# | ノートブック | 見る前に予想するもの | 範囲 | あなたの予想 | 測定値 |
# |---|---|---|---|---|
# {{predictions}}
