"""Italian phrases: four topics. Tasks are infinitives, so that slots need no inflection."""

from __future__ import annotations

from textmill.simulate.phrases import PhraseBook, phrases

SENTENCES = phrases(
    """
    {time} {person} vuole {task} {place}.
    {person} preferisce {adverb} {task}, perché {fact}.
    per {task} {place} servono {tool} e {number} ore.
    {fact}, quindi {person} deve {adverb} {task}.
    {time} si può {adverb} {task} con {tool}.
    «{fact}», {said} {person}, «e nessuno deve {task} {time}».
    prima di {task}, {people} amano {adverb} {task}.
    senza {tool} {person} non saprebbe {task} {place}.
    {people} vengono {time} a {task}, ma {fact}.
    perché mai {person} vorrebbe {task} {time}, se {fact}?
    {number} persone {place} sanno {adverb} {task}.
    è {judgement} {task} {time} che {task}.
    {person} ha passato {number} giorni {place} senza {task}.
    basta {task} e poi {adverb} {task}.
    {place} {person} conserva {tool} da {number} anni.
    da quando {fact}, {people} rifiutano di {task}.
    {time} {fact}; allora {person} viene a {task}.
    non conviene {task} {place}: {fact}.
    {person} {said} {place} che {fact}.
    {person} paga {number} monete per {tool} e va a {task}.
    """
)

SLOTS = {
    "time": phrases(
        """
        in primavera | in una mattina fredda | prima di colazione | alla fine di maggio | dopo la prima gelata
        un sabato sì e uno no | di sera | durante il lungo inverno | nei giorni tranquilli | in autunno
        con il bel tempo | una volta al mese | durante le vacanze | prima dell'alba | quest'anno | a mezzogiorno
        """
    ),
    "adverb": phrases(
        """
        lentamente | con cura | senza fretta | volentieri | quasi sempre | piuttosto in fretta | a mano | per fortuna
        ancora una volta | con pazienza | in silenzio | tutti insieme | senza alcun aiuto | come al solito
        """
    ),
    "said": phrases("diceva | spiegava | ripeteva | sussurrava | rispondeva | giurava"),
    "number": phrases("due | tre | quattro | cinque | sei | sette | otto | nove | dieci | dodici | venti | trenta"),
    "judgement": phrases("più facile | più saggio | più utile | più bello | meno rischioso | meno caro | più raro"),
}

TOPICS = {
    "gardening": {
        "person": phrases(
            "la vicina | il vecchio giardiniere | nostra zia | il maestro in pensione | la figlia del postino"
            "| mio nonno | la padrona del vivaio"
        ),
        "people": phrases("i giardinieri | i vicini | i principianti | gli ortolani | le fioraie | i bambini"),
        "task": phrases("{verb} {object}"),
        "verb": phrases("potare | piantare | spostare | coprire | concimare | curare | raccogliere | legare"),
        "object": phrases(
            "le rose | il melo | qualche fagiolo | i giovani pomodori | la siepe di lavanda | due zucche"
            "| la vecchia vite | i lamponi | i tulipani | il prezzemolo"
        ),
        "tool": phrases("una vanga | un annaffiatoio | le forbici | molto concime | il rastrello | un rotolo di spago"),
        "place": phrases(
            "nella serra | dietro il capanno | lungo il muro | sul balcone | sotto il pero | vicino allo stagno"
        ),
        "fact": phrases(
            """
            la terra resta umida {time}
            le lumache divorano {adverb} {object}
            le api visitano {object} {time}
            {number} foglie spuntano {place}
            la paglia protegge {adverb} {object}
            il gelo minaccia {object} {place}
            """
        ),
    },
    "cooking": {
        "person": phrases(
            "il cuoco | mia nonna | la fornaia | il nostro ospite | il garzone più giovane | lo zio Bernardo"
            "| la venditrice"
        ),
        "people": phrases("i cuochi | i fornai | gli invitati | i golosi | le apprendiste | i viaggiatori"),
        "task": phrases("{verb} {object}"),
        "verb": phrases("mescolare | gustare | servire | riscaldare | preparare | tagliare | dividere | condire"),
        "object": phrases(
            "la zuppa di cipolle | il pane di segale | uno stufato | la torta di prugne | il sugo di pomodoro"
            "| le lenticchie | la pasta fresca | il pasticcio di funghi | le patate | gli gnocchi"
        ),
        "tool": phrases(
            "un cucchiaio di legno | la padella grande | molto sale | la pentola di rame | il burro | il mattarello"
        ),
        "place": phrases("in cucina | sul vecchio fornello | al mercato | accanto al fuoco | a tavola | alla locanda"),
        "fact": phrases(
            """
            l'impasto riposa {number} ore {place}
            il sale rovina {adverb} {object}
            il profumo riempie la casa {time}
            {number} invitati aspettano {place}
            il vapore sale {adverb} {place}
            l'aceto salva {object} {time}
            """
        ),
    },
    "sailing": {
        "person": phrases(
            "il capitano | la timoniera | un pescatore | il capo del porto | mia cugina | il mozzo | il pilota"
        ),
        "people": phrases("i marinai | i pescatori | i velisti | i piloti | i mozzi | gli armatori"),
        "task": phrases("{verb} {object}"),
        "verb": phrases("riparare | controllare | verniciare | asciugare | vendere | legare | caricare | sorvegliare"),
        "object": phrases(
            "la vela maestra | la catena | lo scafo | il timone | due remi | le cime | la scialuppa | la lampada"
            "| un albero rotto | la bandiera bagnata"
        ),
        "tool": phrases("una bussola | la carta nautica | una corda | lo scandaglio | un secchio | la vernice"),
        "place": phrases("nel porto | al largo | presso il faro | a prua | tra le isole | sulla banchina"),
        "fact": phrases(
            """
            il vento gira {time} a ponente
            il sale corrode {adverb} {object}
            {people} dormono {place}
            la nebbia copre {object} {time}
            {number} gabbiani volano {place}
            la corrente spinge {adverb} verso nord
            """
        ),
    },
    "pottery": {
        "person": phrases(
            "la ceramista | un custode | la nostra classe | il chimico | un collezionista | la mia amica | il fuochista"
        ),
        "people": phrases("i ceramisti | i collezionisti | gli allievi | i visitatori | gli artigiani | le maestre"),
        "task": phrases("{verb} {object}"),
        "verb": phrases("modellare | smaltare | cuocere | decorare | seccare | rifinire | imballare | restaurare"),
        "object": phrases(
            "un vaso alto | le ciotole blu | le piastrelle | la teiera | una brocca rotta | sei tazzine"
            "| il piatto largo"
            "| la saliera | un fischietto | il candeliere"
        ),
        "tool": phrases("il tornio | un filo di ferro | un pennello | la cenere | una spugna | il forno a gas"),
        "place": phrases("in bottega | sullo scaffale | alla fiera | nel forno basso | dietro il vetro | nel cortile"),
        "fact": phrases(
            """
            l'argilla si ritira {adverb} {time}
            {number} gradi bastano {place}
            lo smalto cola {adverb} {place}
            l'aria spacca {object} {time}
            {people} firmano {object} {time}
            il ferro colora {adverb} {object}
            """
        ),
    },
}

BOOK = PhraseBook(
    language="it",
    sentences=SENTENCES,
    headlines=phrases(
        """
        come {task} {time}
        {number} modi di {task}
        {task} con {tool}
        {person} e {tool}
        {place} {fact}
        """
    ),
    slots=SLOTS,
    topics=TOPICS,
    names=phrases("Giulia Conti | Marco Ferri | Nicolò Sala | Chiara Fabbri | Ugo Testa | Irene Gatti"),
    menu=phrases("Pagina iniziale | Notizie | Consigli | Forum | Negozio | Chi siamo | Contatti | Archivio | Eventi"),
    labels={
        "by": "Scritto da",
        "cookies": "Questo sito usa i cookie. Continuando si accetta la nostra informativa sulla privacy.",
        "accept": "Accetta tutto",
        "related": "Potrebbe interessarti anche",
        "comments": "Commenti",
        "reply": "Rispondi",
        "popular": "I più letti",
        "search": "Cerca nel sito",
        "rights": "Tutti i diritti riservati. Note legali.",
        "share": "Condividi questa pagina",
        "contact": "Domande? Scrivi a {email} o chiama il {phone}. Il server risponde a {ip}.",
    },
)
