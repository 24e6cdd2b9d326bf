"""Mini math in Japanese: the stories of mini_math told in Japanese, with the same calculations and the same answers.

    問題： 健は りんごを 12 個 持っています。 7 個 もらいました。 次に 5 個 あげました。 今 りんごは 何 個 ありますか。
    答え： 12 + 7 = 19 . 19 - 5 = 14 . #### 14

Words stand apart as in books for children. A calculation belongs to the split that it has in mini_math.
"""

from random import Random

from lori_core.tasks.mini_item import Item
from lori_core.tasks.mini_math import calculation_of, story_item

FORM = ("問題： ", "\n答え：")
NAMES = ("健", "翔", "結衣", "葵", "蓮", "陽菜", "太郎", "花子")
GOODS = {"りんご": "個", "卵": "個", "石": "個", "本": "冊", "ノート": "冊", "切手": "枚", "カード": "枚", "鉛筆": "本"}
VERBS = {
    "+": ("もらいました", "買いました", "見つけました", "作りました"),
    "-": ("あげました", "売りました", "なくしました", "捨てました"),
}


def item(random: Random, level: int) -> Item:
    """One story with `level` steps, at most three."""
    first, operations, values = calculation_of(random, level)
    name, (goods, counter) = random.choice(NAMES), random.choice(list(GOODS.items()))
    happenings = [f"{number} {counter} {random.choice(VERBS[sign])}。" for sign, number in operations]
    story = f"{name}は {goods}を {first} {counter} 持っています。 " + " 次に ".join(happenings)
    change = "増えました" if values[-1] > first else "減りました" if values[-1] < first else "同じです"
    question = f"{story} 今 {goods}は 何 {counter} ありますか。"
    return story_item(question, FORM, f" {name}の {goods}は {change}。", first, operations, values)
