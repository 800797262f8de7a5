"""German phrases: four topics. Tasks are infinitives after modal verbs, so that slots need no inflection."""

from __future__ import annotations

from textmill.simulate.phrases import PhraseBook, phrases

SENTENCES = phrases(
    """
    {time} will {person} {place} {task}.
    {person} möchte {adverb} {task}, denn {fact}.
    wer {task} will, sollte {time} {task}.
    {fact}, und {person} muss {adverb} {task}.
    {time} kann man {place} {adverb} {task}.
    „{fact}“, {said} {person}, „und man darf {time} nie {task}.“
    {person} {said}: {fact}.
    ohne {tool} lässt sich {place} kaum {task}.
    mit {tool} konnte {person} {time} {task}.
    {people} wollen {place} {task}, doch {fact}.
    warum soll {person} ausgerechnet {time} {task}?
    {number} von {number} {people}, die wir fragten, können {adverb} {task}.
    {person} hat {time} gelernt, dass {people} {adverb} {task}.
    zuerst sollte man {task}, danach {adverb} {task}.
    {place} fand {person} {time} einen Hinweis: {fact}.
    nach {number} Versuchen durfte {person} endlich {place} {task}.
    es ist {judgement}, {time} mit {tool} anzufangen, statt {adverb} zu warten.
    niemand {place} wollte {time} {task}, außer {person}.
    {fact}; deshalb werden {people} {time} {task}.
    für {tool} zahlt {person} {place} {number} Taler, {fact}.
    """
)

SLOTS = {
    "time": phrases(
        """
        im Frühling | an einem kalten Morgen | vor dem Frühstück | gegen Ende des Jahres | nach dem ersten Frost
        jeden zweiten Samstag | am Abend | im langen Winter | an stillen Tagen | kurz nach Mittag | im Herbst
        bei gutem Wetter | einmal im Monat | während der Ferien | noch vor Sonnenaufgang | in diesem Jahr
        """
    ),
    "adverb": phrases(
        """
        langsam | sorgfältig | ohne Eile | gern | fast immer | ziemlich schnell | von Hand | zum Glück | wieder einmal
        mit viel Geduld | so gut wie nie | gemeinsam | ganz ohne Hilfe | wie gewohnt
        """
    ),
    "said": phrases("sagte | erklärte | meinte | schrieb | wiederholte | flüsterte | behauptete"),
    "number": phrases("zwei | drei | vier | fünf | sechs | sieben | acht | neun | zehn | zwölf | zwanzig | dreißig"),
    "judgement": phrases("klüger | einfacher | billiger | besser | schöner | mutiger | üblich | verboten | möglich"),
}

TOPICS = {
    "gardening": {
        "person": phrases(
            "die Nachbarin | der alte Gärtner | unsere Tante | der Lehrer im Ruhestand | das Mädchen von nebenan"
            "| die Besitzerin der Gärtnerei | mein Großvater"
        ),
        "people": phrases("Gärtner | Nachbarn | Anfänger | Rosenfreunde | Kinder | Kleingärtner"),
        "task": phrases("{object} {verb}"),
        "verb": phrases("gießen | pflanzen | schneiden | umsetzen | abdecken | düngen | hochbinden | pflegen"),
        "object": phrases(
            "die Rosen | den Apfelbaum | ein paar Bohnen | die jungen Tomaten | die Lavendelhecke | das Kräuterbeet"
            "| zwei Kürbisse | den alten Weinstock | die Himbeeren | einige Tulpen"
        ),
        "tool": phrases("einem Spaten | der Gießkanne | einer scharfen Schere | Kompost | dem Rechen | etwas Schnur"),
        "place": phrases(
            "im Gewächshaus | hinter dem Schuppen | an der Südwand | auf dem Balkon | unter dem Birnbaum | am Teich"
        ),
        "fact": phrases(
            """
            die Erde bleibt {time} feucht
            {people} fürchten {time} die Schnecken
            Bienen besuchen {adverb} {object}
            {number} Blätter öffnen sich {time}
            Mehltau bedroht {object} {place}
            Stroh schützt {adverb} {object}
            """
        ),
    },
    "cooking": {
        "person": phrases(
            "der Koch | meine Großmutter | die Bäckerin | unser Gastgeber | der jüngste Lehrling | Onkel Bernhard"
            "| die Marktfrau"
        ),
        "people": phrases("Köche | Bäcker | Gäste | hungrige Kinder | Lehrlinge | Hausfrauen und Hausmänner"),
        "task": phrases("{object} {verb}"),
        "verb": phrases("umrühren | würzen | kosten | servieren | aufwärmen | zubereiten | probieren | verschenken"),
        "object": phrases(
            "die Zwiebelsuppe | das Roggenbrot | den Eintopf | den Pflaumenkuchen | die Tomatensoße | frische Nudeln"
            "| die Linsen | eine Pilzpastete | die Knödel | den Kartoffelsalat"
        ),
        "tool": phrases(
            "einem Holzlöffel | der schweren Pfanne | etwas Salz | dem Kupferkessel | viel Butter | dem Nudelholz"
        ),
        "place": phrases(
            "in der Küche | am alten Herd | auf dem Markt | neben dem Feuer | am langen Tisch | im Gasthof"
        ),
        "fact": phrases(
            """
            der Teig ruht {time} {number} Stunden
            {people} mögen {time} {object}
            Knoblauch verändert {adverb} {object}
            {number} Gäste sitzen {place}
            Dampf steigt {time} aus den Töpfen {place}
            Essig rettet {adverb} {object}
            """
        ),
    },
    "sailing": {
        "person": phrases(
            "der Kapitän | die Steuerfrau | ein Fischer | der Hafenmeister | meine Kusine Ruth | der Schiffsjunge"
            "| der Lotse"
        ),
        "people": phrases("Matrosen | Fischer | Segler | Bootsbesitzer | Lotsen | Landratten"),
        "task": phrases("{object} {verb}"),
        "verb": phrases("ausbessern | prüfen | streichen | trocknen | verkaufen | festmachen | beladen | bewachen"),
        "object": phrases(
            "das Großsegel | die Ankerkette | den Rumpf | das Ruder | zwei Riemen | die Leinen | das Beiboot"
            "| die Messinglampe | den Mast | eine nasse Flagge"
        ),
        "tool": phrases("einem Kompass | der Seekarte | einem Seil | dem Lot | einem Eimer Teer | etwas Lack"),
        "place": phrases("im Hafen | vor dem Kap | beim Leuchtturm | auf dem Vordeck | zwischen den Inseln | am Kai"),
        "fact": phrases(
            """
            der Wind dreht {time} nach Westen
            Salz zerfrisst {adverb} {object}
            {people} schlafen {time} {place}
            Nebel liegt {time} {place}
            {number} Möwen kreisen {place}
            die Strömung zieht {place} {adverb} nach Norden
            """
        ),
    },
    "bicycle repair": {
        "person": phrases(
            "die Mechanikerin | mein Bruder | der Briefträger | die Besitzerin des Ladens | ein müder Radfahrer"
            "| der Kassenwart | eine Studentin"
        ),
        "people": phrases("Radfahrer | Mechaniker | Pendler | Kuriere | Mitglieder | Ausflügler"),
        "task": phrases("{object} {verb}"),
        "verb": phrases("putzen | ersetzen | festziehen | ölen | einstellen | flicken | abnehmen | testen"),
        "object": phrases(
            "das Hinterrad | die rostige Kette | die Vorderbremse | den Sattel | einen platten Reifen | die Pedale"
            "| das Schaltkabel | eine krumme Speiche | das Licht | den Lenker"
        ),
        "tool": phrases(
            "einem Schraubenschlüssel | der Luftpumpe | einem Tropfen Öl | dem Flickzeug | einem Lappen | Werkzeug"
        ),
        "place": phrases(
            "in der Werkstatt | am Straßenrand | im Keller | hinter dem Bahnhof | im Hof | auf dem Radweg"
        ),
        "fact": phrases(
            """
            Sand schadet {adverb} der Kette
            {number} Schrauben fehlen {place}
            die Bremse quietscht {time}
            {people} brauchen {time} neue Reifen
            Fett schützt {adverb} {object}
            ein Loch im Schlauch hält {people} {place} auf
            """
        ),
    },
}

BOOK = PhraseBook(
    language="de",
    sentences=SENTENCES,
    headlines=phrases(
        """
        warum {people} {time} {task}
        {number} Wege, wie {people} {task}
        {person} und die Frage: wer soll {task}?
        mit {tool} {adverb} {task}
        {people} {place}: {fact}
        """
    ),
    slots=SLOTS,
    topics=TOPICS,
    names=phrases("Jutta Weber | Karl Lindner | Sabine Groß | Uwe Jäger | Heike Möller | Rolf Brandt"),
    menu=phrases("Startseite | Nachrichten | Ratgeber | Forum | Laden | Über uns | Kontakt | Archiv | Termine"),
    labels={
        "by": "Geschrieben von",
        "cookies": "Diese Seite verwendet Cookies. Mit der weiteren Nutzung stimmen Sie unserer Erklärung zu.",
        "accept": "Alle annehmen",
        "related": "Das könnte Sie auch interessieren",
        "comments": "Kommentare",
        "reply": "Antworten",
        "popular": "Meistgelesen",
        "search": "Seite durchsuchen",
        "rights": "Alle Rechte vorbehalten. Impressum und Datenschutz.",
        "share": "Seite teilen",
        "contact": "Fragen? Schreiben Sie an {email} oder rufen Sie {phone} an. Der Server ist {ip}.",
    },
)
