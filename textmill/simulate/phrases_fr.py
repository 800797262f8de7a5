"""French phrases: four topics. Infinitives begin with consonants, so that no slot asks for an elision."""

from __future__ import annotations

from textmill.simulate.phrases import PhraseBook, phrases

SENTENCES = phrases(
    """
    {time}, {person} veut {task} {place}.
    {person} préfère {adverb} {task}, car {fact}.
    pour {task} {place}, il faut {tool} et {number} heures.
    {fact}, donc {person} doit {adverb} {task}.
    {time}, on peut {adverb} {task} avec {tool}.
    « {fact} », {said} {person}, « et personne ne doit {task} {time}. »
    avant de {task}, les {people} aiment {adverb} {task}.
    sans {tool}, {person} ne saurait {task} {place}.
    les {people} viennent {time} pour {task}, mais {fact}.
    pourquoi {task} {time}, demande {person} {place}, si {fact} ?
    {number} de nos {people} savent {adverb} {task}.
    il est {judgement} de {task} {time} que de {task}.
    {person} a passé {number} jours {place} à {task}.
    il suffit de {task}, puis de {task} {adverb}.
    {place}, {person} garde {tool} depuis {number} ans.
    depuis que {fact}, les {people} refusent de {task}.
    {time} {fact} ; {person} vient alors {task}.
    merci de ne pas {task} {place} : {fact}.
    {person} {said} {place} : {fact} !
    {person} paie {number} pièces pour {tool}, puis part {task} {place}.
    """
)

SLOTS = {
    "time": phrases(
        """
        au printemps | par un matin froid | avant le petit déjeuner | à la fin de mai | après la première gelée
        un samedi sur deux | le soir | pendant le long hiver | les jours calmes | peu après midi | en automne
        par beau temps | une fois par mois | pendant les vacances | avant le lever du soleil | cette année
        """
    ),
    "adverb": phrases(
        """
        lentement | avec soin | sans hâte | volontiers | presque toujours | assez vite | à la main | par chance
        encore une fois | avec patience | en silence | tous ensemble | sans aucune aide | comme toujours
        """
    ),
    "said": phrases("disait | expliquait | répétait | chuchotait | répondait | jurait"),
    "number": phrases("deux | trois | quatre | cinq | six | sept | huit | neuf | dix | douze | vingt | trente"),
    "judgement": phrases("plus facile | plus sage | plus utile | moins cher | plus beau | moins risqué | plus rare"),
}

TOPICS = {
    "gardening": {
        "person": phrases(
            "la voisine | le vieux jardinier | notre tante | le professeur retraité | la fille du facteur"
            "| le pépiniériste | mon grand-père"
        ),
        "people": phrases("jardiniers | voisins | débutants | amateurs de roses | maraîchers | promeneurs"),
        "task": phrases("{verb} {object}"),
        "verb": phrases("tailler | planter | déplacer | couvrir | nourrir | soigner | récolter | palisser"),
        "object": phrases(
            "les rosiers | le pommier | quelques haricots | les jeunes tomates | la haie de lavande | deux citrouilles"
            "| la vieille vigne | les framboisiers | les tulipes | le carré de persil"
        ),
        "tool": phrases(
            "une bêche | le petit arrosoir | un sécateur | du compost | le râteau de fer | une pelote de ficelle"
        ),
        "place": phrases(
            "dans la serre | derrière la remise | contre le mur | sur le balcon | sous le poirier | près de la mare"
        ),
        "fact": phrases(
            """
            la terre reste humide {time}
            les limaces dévorent {adverb} {object}
            les abeilles visitent {object} {time}
            {number} feuilles poussent {place}
            la paille protège {adverb} {object}
            le gel menace {object} {place}
            """
        ),
    },
    "cooking": {
        "person": phrases(
            "le cuisinier | ma grand-mère | la boulangère | notre hôte | le plus jeune commis | le cousin Bernard"
            "| la marchande"
        ),
        "people": phrases("cuisiniers | boulangers | convives | gourmands | commis | voyageurs"),
        "task": phrases("{verb} {object}"),
        "verb": phrases("remuer | goûter | servir | réchauffer | préparer | couper | partager | cuire"),
        "object": phrases(
            "la soupe à l'oignon | le pain de seigle | un ragoût | la tarte aux prunes | la sauce tomate"
            "| les lentilles"
            "| des nouilles fraîches | un pâté de champignons | les pommes de terre | le gâteau"
        ),
        "tool": phrases(
            "une cuillère en bois | la grande poêle | du sel | la marmite en cuivre | du beurre"
            "| le rouleau à pâtisserie"
        ),
        "place": phrases(
            "dans la cuisine | sur le vieux fourneau | au marché | près du feu | à la longue table | chez le traiteur"
        ),
        "fact": phrases(
            """
            la pâte repose {number} heures {place}
            le sel gâche {adverb} {object}
            le fumet remplit la maison {time}
            {number} convives attendent {place}
            la vapeur monte {adverb} {place}
            le vinaigre sauve {object} {time}
            """
        ),
    },
    "astronomy": {
        "person": phrases(
            "la savante | un élève patient | notre professeur | le gardien de nuit | un amateur du village"
            "| le fabricant de lentilles | la visiteuse"
        ),
        "people": phrases("savants | élèves | rêveurs | curieux | amateurs | veilleurs"),
        "task": phrases("{verb} {object}"),
        "verb": phrases("regarder | photographier | mesurer | dessiner | trouver | décrire | suivre | nommer"),
        "object": phrases(
            "les anneaux de Saturne | une comète | la planète rouge | le croissant de lune | une étoile double"
            "| une galaxie lointaine | la Voie lactée | les lunes de Jupiter | une pâle nébuleuse | le soleil"
        ),
        "tool": phrases(
            "un petit télescope | des jumelles | une carte du ciel | un trépied | une lampe rouge | le grand miroir"
        ),
        "place": phrases(
            "sur la colline | dans la coupole | loin des villes | sur le toit | au bord du désert | vers le sud"
        ),
        "fact": phrases(
            """
            la brume cache {object} {time}
            {number} météores tombent {time}
            la lumière voyage {number} siècles
            les nuits froides révèlent {adverb} {object}
            la rosée couvre les verres {place}
            les lampadaires gênent {adverb} les {people}
            """
        ),
    },
    "hiking": {
        "person": phrases(
            "la guide | un berger | mon compagnon | le gardien du refuge | la forestière | un étudiant | le chauffeur"
        ),
        "people": phrases("marcheurs | bergers | grimpeurs | gardes | touristes | muletiers"),
        "task": phrases("{verb} {object}"),
        "verb": phrases("gravir | traverser | baliser | contourner | quitter | photographier | chercher | visiter"),
        "object": phrases(
            "la crête | une gorge moussue | le refuge | le torrent | la face nord | la forêt de pins | le pont suspendu"
            "| le lac bleu | la cascade | le col"
        ),
        "tool": phrases(
            "un bâton | la carte | un sac léger | une gourde de thé | de bonnes chaussures | une couverture chaude"
        ),
        "place": phrases(
            "dans la vallée | sur le versant est | près de la chapelle | sous le sommet | au bout du pré | en lisière"
        ),
        "fact": phrases(
            """
            le sentier grimpe {adverb} {place}
            les marmottes sifflent {time}
            la neige couvre {object} {time}
            {number} marches mènent {place}
            le brouillard cache {adverb} {object}
            les vaches broutent {place} {time}
            """
        ),
    },
}

BOOK = PhraseBook(
    language="fr",
    sentences=SENTENCES,
    headlines=phrases(
        """
        comment {task} {time}
        {number} façons de {task}
        {task} avec {tool}
        {person} et {tool}
        {place}, {fact}
        """
    ),
    slots=SLOTS,
    topics=TOPICS,
    names=phrases("Claire Dubois | Luc Moreau | Hélène Girard | René Petit | Agnès Lefèvre | Noël Fabre"),
    menu=phrases("Accueil | Actualités | Conseils | Forum | Boutique | À propos | Contact | Archives | Agenda"),
    labels={
        "by": "Écrit par",
        "cookies": "Ce site utilise des cookies. En poursuivant, vous acceptez notre politique de vie privée.",
        "accept": "Tout accepter",
        "related": "Vous aimerez aussi",
        "comments": "Commentaires",
        "reply": "Répondre",
        "popular": "Les plus lus",
        "search": "Chercher sur ce site",
        "rights": "Tous droits réservés. Mentions légales.",
        "share": "Partager cette page",
        "contact": "Une question ? Écrivez à {email} ou appelez le {phone}. Le serveur répond à {ip}.",
    },
)
