"""English phrases: ten topics."""

from __future__ import annotations

from textmill.simulate.phrases import PhraseBook, phrases

SENTENCES = phrases(
    """
    {time}, {person} {adverb} {did} {object} {place}.
    {person} {adverb} {did} {object}, and {fact}.
    if you want to {do} {object}, {advice} with {tool}.
    {advice}, because {fact} and {trouble} is {seldom} far away.
    {fact}, so {person} will have to {do} {object} {time}.
    most {people} {say} that {fact}, but {person} {disagreed}.
    {doing} {object} {place} is {judgement} than it {seems}.
    {doing} {object} takes {amount}, {doing} {object} takes {amount}.
    what {people} {often} forget is that {fact}.
    with {tool} and {amount}, {person} could {do} {object} {place}.
    {person} has kept {tool} {place} for {amount}.
    there was {tool} {place}, and {object} beside it.
    {time} {fact}; {time} {person} {did} {object} again.
    nobody should {do} {object} before {person} has looked at {object}.
    "{fact}," {said} {person}, "and {trouble} {follows}."
    "{advice}," {said} {person}, who {did} {object} {time}.
    {after} {amount} of {doing} {object}, {fact}.
    {trouble} {often} means that {fact}.
    to avoid {trouble}, {people} {adverb} {do} {object} {time}.
    {people} who {do} {object} {often} {do} {object} as well.
    once {fact}, {advice}.
    {person} bought {tool} {time} and {adverb} {did} {object}.
    some {people} would {adverb} {do} {object}; others {wait}.
    {time}, when {fact}, {person} {adverb} {did} {object} {place}.
    the {quality} way to {do} {object} is with {tool}.
    it is {judgement} to {do} {object} {place} than to {do} {object}.
    have you ever tried to {do} {object} with {tool}?
    {why} did {person} {do} {object} {place}?
    {person} and {person} {did} {object} {time}, and {trouble} was {seldom} mentioned.
    {tool} costs about {number} coins {place}, {tool} costs {number}.
    of {number} {people} we asked, {number} {do} {object} {time}.
    {first}, {do} {object}; {then}, {do} {object} with {tool}.
    {after} {trouble}, {people} {place} {adverb} {do} {object}.
    without {tool}, {doing} {object} would be {judgement}.
    the {quality} thing about {doing} {object} is that {fact}.
    {person} wrote to us {time}: {fact}, and {object} is to blame.
    {people} from {number} villages come {time} to {do} {object}.
    {fact} unless {person} can {do} {object} {time}.
    """
)

HEADLINES = phrases(
    """
    {why} {people} {do} {object}
    how to {do} {object} {time}
    {doing} {object} with {tool}
    {number} ways to {do} {object}
    {trouble}: what {person} {did}
    {doing} {object} {place}
    a word about {trouble} and {tool}
    {person}, {tool} and {object}
    """
)

SLOTS = {
    "time": phrases(
        """
        in early spring | on a cold morning | before breakfast | late in the year | after the first frost
        every second week | on the last Sunday of May | during the long winter | on a rainy afternoon | at dusk
        a few days later | towards the end of June | in the holidays | most evenings | when the weather is kind
        shortly after noon | over the weekend | once a month | in a dry summer | by the end of the week
        at the start of autumn | just before sunset | on quiet days | in October | twice every winter
        early on Tuesdays
        """
    ),
    "adverb": phrases(
        """
        slowly | carefully | quietly | patiently | gladly | almost always | rather quickly | without hurry | at last
        with great care | by hand | somehow | happily | never fully | as usual | to everyone's surprise | once more
        """
    ),
    "often": phrases("often | usually | sometimes | rarely | now and then | nearly always | as a rule | quite often"),
    "seldom": phrases("seldom | never | not | hardly ever | usually not | rarely"),
    "say": phrases("say | believe | claim | agree | will tell you | have learned | suspect | remember"),
    "said": phrases("said | explained | wrote | repeated | answered | warned | whispered | admitted"),
    "disagreed": phrases(
        """
        disagreed | was not so sure | had a different story | laughed at that | wanted proof | kept silent
        saw it differently | knew better
        """
    ),
    "seems": phrases("seems | looks | sounds | used to be | was in the past | appears at first"),
    "judgement": phrases(
        """
        easier | harder | more useful | cheaper | more fun | less tiring | slower | far better | a little riskier
        much nicer | more honest | worse
        """
    ),
    "amount": phrases(
        """
        {number} hours | {number} days of work | a whole weekend | half an afternoon | {number} short evenings
        plenty of patience | {number} tries | about {number} weeks | less than {number} minutes | a steady hand
        """
    ),
    "number": phrases(
        "two | three | four | five | six | seven | eight | nine | ten | a dozen | fifteen | twenty | thirty | forty"
    ),
    "after": phrases("after | despite | thanks to | long before | even with | because of | in spite of"),
    "follows": phrases("follows | is next | comes soon | goes away | will not wait | is no joke | can be cured"),
    "wait": phrases(
        "wait | give up | ask a friend | do nothing | read a book first | prefer tea | come back later | complain"
    ),
    "quality": phrases(
        "best | oldest | safest | simplest | worst | cleverest | quickest | most common | finest | strangest"
    ),
    "why": phrases("why | when | where | how | with whose help"),
    "first": phrases("first | to begin | at the beginning | before anything else | ideally | if there is time"),
    "then": phrases("then | after that | next | finally | when this is done | the day after"),
    "advice": phrases(
        """
        {do} {object} {time} | start with {object} | do not {do} {object} | try to {do} {object} first
        leave {object} alone | ask {person} about {object} | {adverb} {do} {object} | keep {tool} near {object}
        begin {time} with {tool} | never trust {tool} {place}
        """
    ),
}

TOPICS = {
    "gardening": {
        "person": phrases(
            "my neighbour | the old gardener | our aunt Clara | a retired teacher | the girl next door | Mrs Holloway"
            "| the nursery owner | a young botanist"
        ),
        "people": phrases("gardeners | growers | neighbours | beginners | allotment holders | rose lovers"),
        "do": phrases("prune | water | plant | move | cover | weed | feed | cut back | tie up"),
        "did": phrases("pruned | watered | planted | moved | covered | weeded | fed | cut back | tied up"),
        "doing": phrases("pruning | watering | planting | moving | covering | weeding | feeding | cutting back"),
        "object": phrases(
            "the climbing roses | a row of beans | young tomato plants | the lavender hedge | the apple tree"
            "| the strawberry bed | some tulip bulbs | the herb patch | two pumpkins | the old vine | a few lettuces"
            "| the raspberry canes"
        ),
        "tool": phrases(
            "a sharp spade | the green watering can | a pair of shears | a wheelbarrow | warm compost | the iron rake"
            "| a bag of seeds | a length of twine"
        ),
        "place": phrases(
            "in the greenhouse | behind the shed | along the south wall | near the pond | on the balcony"
            "| under the pear tree | in raised beds | at the edge of the lawn"
        ),
        "trouble": phrases("a plague of slugs | mildew | a late frost | poor soil | heavy rain | greenfly | root rot"),
        "fact": phrases(
            """
            the soil {often} stays damp until {time}
            {object} will {often} need more light
            bees {adverb} visit {object}
            {trouble} can ruin {object} within {amount}
            {object} and {object} {often} grow well together
            roots {adverb} reach for water {place}
            a layer of straw {often} protects {object}
            {number} new leaves open {time}
            birds {often} eat the seeds {place}
            """
        ),
    },
    "cooking": {
        "person": phrases(
            "the cook | my grandmother | a baker from the coast | our host | the youngest apprentice | Uncle Bernard"
            "| the market woman | a hungry guest"
        ),
        "people": phrases("cooks | bakers | guests | hungry children | kitchen hands | home cooks"),
        "do": phrases("stir | season | roast | bake | chop | taste | simmer | serve | warm up"),
        "did": phrases("stirred | seasoned | roasted | baked | chopped | tasted | simmered | served | warmed up"),
        "doing": phrases("stirring | seasoning | roasting | baking | chopping | tasting | simmering | serving"),
        "object": phrases(
            "the onion soup | a tray of carrots | the rye bread | a thick stew | the plum cake | two pounds of potatoes"
            "| the tomato sauce | some fresh noodles | the lentils | a mushroom pie | the apple filling | the dumplings"
        ),
        "tool": phrases(
            "a wooden spoon | a heavy pan | the bread knife | a pinch of salt | a clay pot | the copper kettle"
            "| a little butter | the rolling pin"
        ),
        "place": phrases(
            "in the village kitchen | on the old stove | at the market | in a hot oven | beside the fire"
            "| over a low flame | at the long table | in the bakery"
        ),
        "trouble": phrases(
            "a burnt crust | too much salt | a cold oven | a bitter taste | lumpy dough | a dull knife | spilled milk"
        ),
        "fact": phrases(
            """
            the dough {often} rises in {amount}
            {object} will {often} taste of smoke
            garlic {adverb} changes {object}
            {object} and {object} {often} share one pot
            {trouble} can spoil {object} {time}
            the smell of {object} fills the house {time}
            vinegar {often} saves {object}
            {number} guests arrive {place} {time}
            steam {adverb} rises from {object}
            """
        ),
    },
    "sailing": {
        "person": phrases(
            "the skipper | our navigator | a fisherman | the harbour master | my cousin Ruth | the ship's boy"
            "| a sailor from the north | the pilot"
        ),
        "people": phrases("sailors | crews | skippers | fishermen | young sailors | boat owners"),
        "do": phrases("hoist | repair | trim | lower | paint | inspect | fold | haul in"),
        "did": phrases("hoisted | repaired | trimmed | lowered | painted | inspected | folded | hauled in"),
        "doing": phrases("hoisting | repairing | trimming | lowering | painting | inspecting | folding | hauling in"),
        "object": phrases(
            "the main sail | the anchor chain | a torn jib | the wooden hull | the spare rudder | two oars"
            "| the mooring lines | the brass lamp | the little dinghy | a wet flag | the rigging | the boom"
        ),
        "tool": phrases(
            "a good compass | a coil of rope | the tide table | an old chart | a bucket of tar | a sea knife"
            "| the depth line | a tin of varnish"
        ),
        "place": phrases(
            "off the cape | in the harbour | near the lighthouse | on the foredeck | between the islands"
            "| against the tide | in the lee of the cliffs | at the quay"
        ),
        "trouble": phrases(
            "a sudden squall | thick fog | a falling tide | a broken mast | wet gunpowder | a dead calm"
        ),
        "fact": phrases(
            """
            the wind {often} turns west {time}
            {object} will {often} hold in a storm
            salt {adverb} eats {object}
            the current {place} {often} runs fast
            {trouble} can cost {number} ships {amount}
            gulls {adverb} circle above {object}
            {object} and {object} must {often} be dry
            waves {place} reach {number} feet {time}
            the crew {adverb} sleeps {place}
            """
        ),
    },
    "astronomy": {
        "person": phrases(
            "the astronomer | a patient student | our physics teacher | the night watchman | an amateur from the hills"
            "| Professor Lindqvist | the lens maker | a visitor"
        ),
        "people": phrases("astronomers | observers | students | stargazers | amateurs | lens makers"),
        "do": phrases("observe | photograph | measure | sketch | find | describe | follow | record"),
        "did": phrases("observed | photographed | measured | sketched | found | described | followed | recorded"),
        "doing": phrases("observing | photographing | measuring | sketching | finding | describing | following"),
        "object": phrases(
            "the rings of Saturn | a faint comet | the red planet | the crescent moon | a double star"
            "| a distant galaxy"
            "| the Milky Way | the moons of Jupiter | a shooting star | the solar eclipse | a pale nebula"
            "| the pole star"
        ),
        "tool": phrases(
            "a small telescope | a pair of binoculars | a star map | a steady tripod | a red lamp | a notebook"
            "| a dark filter | the large mirror"
        ),
        "place": phrases(
            "from the hilltop | in the observatory | far from the city lights | above the horizon | on the flat roof"
            "| near the zenith | in the southern sky | at the edge of the desert"
        ),
        "trouble": phrases("a bright street lamp | cloud cover | a foggy lens | the full moon | shaking hands | dew"),
        "fact": phrases(
            """
            light from {object} is {number} centuries old
            {object} {often} rises {time}
            the air {adverb} blurs {object}
            {trouble} can hide {object} for {amount}
            {object} appears {number} times brighter {place}
            {object} and {object} {often} stand close together
            the eye needs {amount} to see {object}
            cold nights {often} show {object}
            {number} meteors fall {place} {time}
            """
        ),
    },
    "local history": {
        "person": phrases(
            "the parish clerk | a local historian | the miller's widow | the town archivist | a travelling painter"
            "| Mayor Fielding | the schoolmaster | a stonemason"
        ),
        "people": phrases("historians | villagers | archivists | merchants | pilgrims | masons"),
        "do": phrases("restore | describe | rebuild | visit | sell | measure | defend | document"),
        "did": phrases("restored | described | rebuilt | visited | sold | measured | defended | documented"),
        "doing": phrases("restoring | describing | rebuilding | visiting | selling | measuring | defending"),
        "object": phrases(
            "the stone bridge | the ruined abbey | the town hall | the old mill | a row of weavers' houses"
            "| the castle gate | the market cross | the canal locks | the bell tower | the toll road | a Roman well"
            "| the wooden granary"
        ),
        "tool": phrases(
            "a yellowed map | the parish register | a box of letters | an early photograph | a bronze seal"
            "| a lease on parchment | the mason's ledger | a bundle of receipts"
        ),
        "place": phrases(
            "by the river | in the upper town | on the castle hill | outside the walls | near the market square"
            "| along the old road | in the county archive | beside the church"
        ),
        "trouble": phrases("the great fire | a bitter quarrel | the flood | a high tax | the plague | a lost lawsuit"),
        "fact": phrases(
            """
            {object} was {adverb} paid for by {people}
            {trouble} destroyed {number} houses {place}
            the records of {object} {often} contradict {tool}
            {object} once belonged to {people} {place}
            {people} {adverb} carried stones to {object}
            nobody living has seen {object}
            {object} is {number} generations older than {object}
            {people} met {place} {time}
            the duke {adverb} gave {object} to {people}
            """
        ),
    },
    "bicycle repair": {
        "person": phrases(
            "the mechanic | my sister | a postman | the shop owner | a tired cyclist | our club treasurer"
            "| a student named Theo | the frame builder"
        ),
        "people": phrases("mechanics | cyclists | commuters | riders | club members | couriers"),
        "do": phrases("clean | replace | tighten | oil | adjust | patch | remove | test"),
        "did": phrases("cleaned | replaced | tightened | oiled | adjusted | patched | removed | tested"),
        "doing": phrases("cleaning | replacing | tightening | oiling | adjusting | patching | removing | testing"),
        "object": phrases(
            "the rear wheel | a rusty chain | the front brake | the saddle | a flat tyre | the bottom bracket"
            "| the gear cable | both pedals | a bent spoke | the headlight | the inner tube | the handlebar"
        ),
        "tool": phrases(
            "a spoke key | the foot pump | a drop of oil | an adjustable spanner | a patch kit | an old toothbrush"
            "| the repair stand | a clean rag"
        ),
        "place": phrases(
            "in the workshop | at the roadside | in the cellar | on the gravel path | behind the station"
            "| under a street lamp | at the club house | on the kitchen floor"
        ),
        "trouble": phrases("a slow puncture | rust | a slipping gear | a stripped thread | a squeak | worn rubber"),
        "fact": phrases(
            """
            {object} {often} lasts {number} thousand miles
            sand {adverb} wears down {object}
            {object} will {often} squeal {time}
            {trouble} can stop {number} riders {place}
            {object} and {object} {often} need the same spanner
            new rubber {adverb} grips {place}
            grease {often} protects {object}
            {object} must turn freely {time}
            {number} spokes carry {object}
            """
        ),
    },
    "beekeeping": {
        "person": phrases(
            "the beekeeper | a farmer's daughter | our club chairman | the honey seller | Brother Anselm"
            "| a nervous beginner | the vet | my godfather"
        ),
        "people": phrases("beekeepers | farmers | honey sellers | monks | visitors | careful beginners"),
        "do": phrases("open | inspect | smoke | carry | weigh | clean out | feed | protect"),
        "did": phrases("opened | inspected | smoked | carried | weighed | cleaned out | fed | protected"),
        "doing": phrases("opening | inspecting | smoking | carrying | weighing | cleaning out | feeding"),
        "object": phrases(
            "the first hive | a swarm | the brood frames | a weak colony | the honey boxes | the young queen"
            "| the wax combs | a straw skep | the winter cluster | the drone cells | two nucleus hives | the entrance"
        ),
        "tool": phrases(
            "a smoker | a goose feather | the hive tool | a veil | a jar of syrup | clean frames | a bee brush"
            "| the honey press"
        ),
        "place": phrases(
            "in the orchard | among the lime trees | at the forest edge | on the heath | beside the clover field"
            "| in a sunny corner | near the stream | on the monastery roof"
        ),
        "trouble": phrases("a cold spell | mites | robbing wasps | an empty larder | a late swarm | a damp hive"),
        "fact": phrases(
            """
            bees {adverb} gather nectar {place}
            {object} {often} needs {number} pounds of honey
            the queen lays {number} hundred eggs {time}
            {trouble} can weaken {object} in {amount}
            {object} {often} hums louder {time}
            lime blossom {adverb} feeds {object}
            smoke {often} calms {object}
            {number} scouts leave {object} {time}
            {object} and {object} smell {often} alike
            """
        ),
    },
    "hiking": {
        "person": phrases(
            "the guide | a shepherd | my hiking partner | the hut keeper | a forest ranger | Aunt Magda"
            "| a geology student | the bus driver"
        ),
        "people": phrases("hikers | shepherds | families | climbers | rangers | walkers"),
        "do": phrases("climb | cross | explore | mark | circle | reach | leave | photograph"),
        "did": phrases("climbed | crossed | explored | marked | circled | reached | left | photographed"),
        "doing": phrases("climbing | crossing | exploring | marking | circling | reaching | leaving"),
        "object": phrases(
            "the narrow ridge | a mossy gorge | the upper hut | the glacier stream | a field of boulders"
            "| the north face"
            "| the pine forest | a hanging bridge | the blue lake | the border stone | the waterfall | the high pass"
        ),
        "tool": phrases(
            "a dry pair of socks | a walking stick | the contour map | a light rucksack | a flask of tea | good boots"
            "| a whistle | a warm blanket"
        ),
        "place": phrases(
            "above the tree line | in the next valley | on the eastern slope | near the chapel | beyond the meadow"
            "| below the summit | along the ditch | at the trail fork"
        ),
        "trouble": phrases("a thunderstorm | loose gravel | a blister | early snow | a missing sign | low cloud"),
        "fact": phrases(
            """
            the path {often} climbs for {amount}
            {object} is {often} closed {time}
            marmots {adverb} whistle {place}
            {trouble} can turn {object} into a trap
            {object} lies {number} miles from {object}
            snow {adverb} covers {object}
            the view of {object} {often} rewards {people}
            {number} steps lead to {object}
            cattle {often} graze {place} {time}
            """
        ),
    },
    "music": {
        "person": phrases(
            "the conductor | a street violinist | our choir leader | the organ tuner | a shy soprano | old Mr Abbott"
            "| the drummer | the piano teacher"
        ),
        "people": phrases("musicians | singers | listeners | pupils | organists | folk players"),
        "do": phrases("rehearse | tune | play | copy out | record | sing | memorise | arrange"),
        "did": phrases("rehearsed | tuned | played | copied out | recorded | sang | memorised | arranged"),
        "doing": phrases("rehearsing | tuning | playing | copying out | recording | singing | memorising"),
        "object": phrases(
            "the slow movement | a folk song | the second verse | the cello part | an evening hymn | a short waltz"
            "| the difficult passage | the opening chord | a lullaby | the wedding march | the chorus | a dance in six"
        ),
        "tool": phrases(
            "a tuning fork | an old metronome | a borrowed fiddle | the upright piano | a pencil | sheet music"
            "| a wooden flute | fresh strings"
        ),
        "place": phrases(
            "in the concert hall | on the village green | in a cold church | at the music school | under the arches"
            "| in the back room | near the stage | on the radio"
        ),
        "trouble": phrases("a broken string | stage fright | a sore throat | a wrong note | an empty hall | noise"),
        "fact": phrases(
            """
            {object} {often} sounds better {place}
            the audience {adverb} hums {object}
            {object} was written for {number} voices
            {trouble} can end {object} {time}
            {object} and {object} {often} share a melody
            silence {adverb} follows {object}
            the left hand {often} leads {object}
            {number} bars of {object} repeat {time}
            damp air {often} spoils {tool}
            """
        ),
    },
    "pottery": {
        "person": phrases(
            "the potter | a museum guide | our evening class | the glaze chemist | a collector | my friend Ines"
            "| the kiln master | a careful pupil"
        ),
        "people": phrases("potters | collectors | pupils | glaze makers | museum visitors | craftsmen"),
        "do": phrases("shape | glaze | fire | decorate | dry | trim | pack | mend"),
        "did": phrases("shaped | glazed | fired | decorated | dried | trimmed | packed | mended"),
        "doing": phrases("shaping | glazing | firing | decorating | drying | trimming | packing | mending"),
        "object": phrases(
            "a tall vase | the blue bowls | a set of tiles | the teapot | a cracked jug | six small cups"
            "| the roof dragon"
            "| a salt jar | the wide platter | a water pitcher | the clay whistle | a candle holder"
        ),
        "tool": phrases(
            "the kick wheel | a wire loop | a soft brush | wood ash | white slip | a wet sponge | the gas kiln"
            "| a bone knife"
        ),
        "place": phrases(
            "in the studio | on the drying rack | at the craft fair | in the lower kiln | behind glass"
            "| by the clay pit | on the wheel | in the courtyard"
        ),
        "trouble": phrases("a hairline crack | trapped air | an uneven rim | a cold kiln | runny glaze | brittle clay"),
        "fact": phrases(
            """
            clay {adverb} shrinks in {amount}
            {object} {often} turns green {place}
            the kiln reaches {number} hundred degrees {time}
            {trouble} can split {object} {time}
            {object} and {object} {often} stick together
            iron {adverb} colours {object}
            thin walls {often} help {object}
            {number} copies of {object} survive {place}
            fingerprints {often} remain on {object}
            """
        ),
    },
}

BOOK = PhraseBook(
    language="en",
    sentences=SENTENCES,
    headlines=HEADLINES,
    slots=SLOTS,
    topics=TOPICS,
    names=phrases("Ann Weaver | Tom Ashdown | Lucy Pell | Henry Oakes | Mary Finch | Peter Lowry | Joan Birch"),
    menu=phrases("Home | News | Guides | Forum | Shop | About us | Contact | Archive | Photos | Events | Subscribe"),
    labels={
        "by": "Written by",
        "cookies": "We use cookies to make this site work. By going on you accept our privacy policy.",
        "accept": "Accept all",
        "related": "You may also like",
        "comments": "Comments",
        "reply": "Reply",
        "popular": "Most read",
        "search": "Search this site",
        "rights": "All rights reserved. Terms of use and privacy policy.",
        "share": "Share this page",
        "contact": "Questions? Write to {email} or call {phone}. The server answers at {ip}.",
    },
)
