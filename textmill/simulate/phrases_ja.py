"""Japanese phrases: four topics. Tasks end in the plain form of the verb; no spaces between words or sentences."""

from __future__ import annotations

from textmill.simulate.phrases import PhraseBook, phrases

SENTENCES = phrases(
    """
    {time}、{person}は{place}で{task}つもりだ。
    {person}は{adverb}{task}ことにした。なぜなら{fact}からだ。
    {task}ためには、{tool}と{number}時間が必要である。
    {fact}ので、{person}は{adverb}{task}ほかない。
    {time}は{tool}で{task}ことができる。
    「{fact}」と{person}は{said}。
    {task}前に、{people}はよく{task}。
    {tool}がなければ、{place}で{task}のは難しい。
    {people}は{time}{place}へ来るが、{fact}。
    どうして{person}は{time}に限って{task}のだろうか。
    {place}では{number}人の{people}が{adverb}{task}。
    {time}に{task}より、{adverb}{task}ほうが{judgement}。
    {person}は{number}日のあいだ{place}で{task}ことを考えていた。
    まず{task}。それから{tool}を使って{task}。
    {person}は{number}年前から{place}に{tool}を置いている。
    {fact}ため、{people}は{task}ことをやめた。
    {people}の話によると、{time}は{fact}そうだ。
    {person}が{task}と、{people}は{said}。
    {task}ことは、{people}にとって{judgement}。
    """
)

SLOTS = {
    "time": phrases(
        """
        春の初め | 寒い朝 | 朝食の前 | 五月の終わり | 初霜のあと | 土曜日の午後 | 夕方 | 長い冬 | 静かな日 | 秋の夜
        天気のよい日 | 月に一度 | 夏休み | 夜明け前 | 今年 | 正午ごろ
        """
    ),
    "adverb": phrases(
        """
        ゆっくり | 丁寧に | 急がずに | 喜んで | ほとんどいつも | かなり早く | 手で | 運よく | もう一度 | 根気よく
        黙って
        みんなで | 一人で | いつものように
        """
    ),
    "said": phrases("言った | 説明した | 書いている | 繰り返した | 答えた | つぶやいた"),
    "number": phrases("二 | 三 | 四 | 五 | 六 | 七 | 八 | 九 | 十 | 十二 | 二十 | 三十"),
    "judgement": phrases("簡単だ | 賢明だ | 役に立つ | 安い | 楽しい | 安全だ | 珍しい | 美しい"),
}

TOPICS = {
    "gardening": {
        "person": phrases("隣の人 | 年老いた庭師 | 私の叔母 | 元教師 | 郵便屋の娘 | 祖父 | 種苗店の主人"),
        "people": phrases("庭師たち | 近所の人々 | 初心者 | 花の愛好家 | 子どもたち | 農家の人"),
        "task": phrases("{object}を{verb}"),
        "verb": phrases("植える | 育てる | 剪定する | 移す | 覆う | 世話する | 収穫する | 支える"),
        "object": phrases(
            "バラ | 林檎の木 | 豆の苗 | 若いトマト | ラベンダーの生け垣 | 二つのカボチャ | 古い葡萄の木 | 木苺"
            "| チューリップ | 紫蘇"
        ),
        "tool": phrases("スコップ | 大きなじょうろ | 剪定ばさみ | 堆肥 | 熊手 | 麻ひも"),
        "place": phrases("温室 | 物置の裏 | 南の壁ぎわ | ベランダ | 梨の木の下 | 池のそば"),
        "fact": phrases(
            """
            {time}は土が湿っている
            ナメクジが{object}を食べてしまう
            蜜蜂が{time}に{object}を訪れる
            {place}で{number}枚の葉が開く
            わらが{object}を守ってくれる
            霜が{place}の{object}を枯らす
            """
        ),
    },
    "cooking": {
        "person": phrases("料理人 | 祖母 | パン屋の女将 | 宿の主人 | 若い弟子 | 伯父 | 市場の商人"),
        "people": phrases("料理人たち | お客さん | 旅人 | 弟子たち | 腹をすかせた子ども | 町の人々"),
        "task": phrases("{object}を{verb}"),
        "verb": phrases("混ぜる | 味わう | 出す | 温める | 作る | 切る | 分ける | 煮る"),
        "object": phrases(
            "玉葱のスープ | 味噌汁 | 黒パン | 煮込み | 梅の菓子 | トマトのソース | 新しいうどん | 茸の鍋 | 芋 | 団子"
        ),
        "tool": phrases("木のさじ | 重い鍋 | 塩 | 銅のやかん | バター | 麺棒"),
        "place": phrases("台所 | 古いかまど | 市場 | 火のそば | 長い食卓 | 食堂"),
        "fact": phrases(
            """
            生地を{number}時間休ませる
            塩が{object}の味を変える
            {time}は家じゅうに香りが広がる
            {place}で{number}人の客が待っている
            {place}から湯気が立ちのぼる
            酢が{object}を救うことがある
            """
        ),
    },
    "astronomy": {
        "person": phrases("天文学者 | 辛抱強い学生 | 物理の先生 | 夜警 | 村の愛好家 | レンズ職人 | 見学者"),
        "people": phrases("学者たち | 学生 | 愛好家たち | 観測者 | 星を見る人々 | 子どもたち"),
        "task": phrases("{object}を{verb}"),
        "verb": phrases("観測する | 撮影する | 測る | 描く | 見つける | 記録する | 追う | 調べる"),
        "object": phrases(
            "土星の環 | かすかな彗星 | 赤い惑星 | 三日月 | 二重星 | 遠い銀河 | 天の川 | 木星の衛星 | 淡い星雲 | 北極星"
        ),
        "tool": phrases("小さな望遠鏡 | 双眼鏡 | 星図 | 三脚 | 赤い灯り | 観測ノート"),
        "place": phrases("丘の上 | 天文台 | 町から離れた場所 | 屋上 | 砂漠の端 | 海辺"),
        "fact": phrases(
            """
            {time}は雲が{object}を隠す
            {place}では{number}個の流れ星が見える
            光が届くまでに{number}世紀かかる
            寒い夜は{object}がよく見える
            {time}は露がレンズを曇らせる
            街灯が{people}の邪魔をする
            """
        ),
    },
    "hiking": {
        "person": phrases("案内人 | 羊飼い | 旅の仲間 | 山小屋の主人 | 森の番人 | 地質学の学生 | バスの運転手"),
        "people": phrases("登山者 | 羊飼いたち | 家族連れ | 旅人たち | 番人 | 写真家"),
        "task": phrases("{object}を{verb}"),
        "verb": phrases("越える | 渡る | 調べる | 目指す | 回る | 離れる | 撮る | 探す"),
        "object": phrases(
            "狭い尾根 | 苔むした谷 | 山小屋 | 氷河の流れ | 北の斜面 | 松林 | 吊り橋 | 青い湖 | 滝 | 高い峠"
        ),
        "tool": phrases("杖 | 地図 | 軽いリュック | 水筒 | 丈夫な靴 | 毛布"),
        "place": phrases("隣の谷 | 東の斜面 | 礼拝堂の近く | 頂上の下 | 牧場の先 | 分かれ道"),
        "fact": phrases(
            """
            {place}では道が急になる
            {time}は雪が{object}を覆う
            {place}まで{number}段の階段が続く
            霧が{object}を隠してしまう
            {time}は牛が草を食べている
            {object}から{place}がよく見える
            """
        ),
    },
}

BOOK = PhraseBook(
    language="ja",
    sentences=SENTENCES,
    headlines=phrases(
        """
        {time}に{task}方法
        {task}ための{number}つの工夫
        {tool}で{task}
        {person}と{object}
        """
    ),
    slots=SLOTS,
    topics=TOPICS,
    names=phrases("山田花子 | 佐藤一郎 | 鈴木美咲 | 高橋健 | 田中由紀 | 伊藤誠"),
    menu=phrases("ホーム | ニュース | ガイド | 掲示板 | 売店 | 私たちについて | お問い合わせ | 記録 | 行事"),
    labels={
        "by": "文：",
        "cookies": "このサイトはクッキーを使います。続けると、個人情報の扱いに同意したことになります。",
        "accept": "すべて同意する",
        "related": "こちらもどうぞ",
        "comments": "コメント",
        "reply": "返信",
        "popular": "よく読まれている記事",
        "search": "サイト内検索",
        "rights": "無断転載を禁じます。利用規約。",
        "share": "このページを共有",
        "contact": "ご質問は {email} または {phone} までどうぞ。サーバーは {ip} です。",
    },
    gap="",
)
