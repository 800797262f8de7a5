"""Spanish phrases: four topics. Tasks are infinitives, so that slots need no inflection."""

from __future__ import annotations

from textmill.simulate.phrases import PhraseBook, phrases

SENTENCES = phrases(
    """
    {time}, {person} quiere {task} {place}.
    {person} prefiere {adverb} {task}, porque {fact}.
    para {task} {place} hacen falta {tool} y {number} horas.
    {fact}, así que {person} debe {adverb} {task}.
    {time} se puede {adverb} {task} con {tool}.
    «{fact}», {said} {person}, «y nadie debe {task} {time}».
    antes de {task}, {people} suelen {adverb} {task}.
    sin {tool}, {person} no sabría {task} {place}.
    {people} vienen {time} a {task}, pero {fact}.
    ¿por qué quiere {person} {task} {time}, si {fact}?
    {number} personas {place} saben {adverb} {task}.
    es {judgement} {task} {time} que {task}.
    {person} pasó {number} días {place} sin {task}.
    basta con {task} y luego {adverb} {task}.
    {place}, {person} guarda {tool} desde hace {number} años.
    desde que {fact}, {people} no quieren {task}.
    {time} {fact}; entonces {person} viene a {task}.
    no conviene {task} {place}: {fact}.
    {person} {said} {place} que {fact}.
    {person} paga {number} monedas por {tool} y sale a {task}.
    """
)

SLOTS = {
    "time": phrases(
        """
        en primavera | una mañana fría | antes del desayuno | a finales de mayo | después de la primera helada
        un sábado sí y otro no | por la noche | durante el largo invierno | en días tranquilos | en otoño
        con buen tiempo | una vez al mes | durante las vacaciones | antes del amanecer | este año | al mediodía
        """
    ),
    "adverb": phrases(
        """
        despacio | con cuidado | sin prisa | con gusto | casi siempre | bastante rápido | a mano | por suerte
        una vez más | con paciencia | en silencio | entre todos | sin ayuda alguna | como siempre
        """
    ),
    "said": phrases("decía | explicaba | repetía | susurraba | contestaba | juraba"),
    "number": phrases("dos | tres | cuatro | cinco | seis | siete | ocho | nueve | diez | doce | veinte | treinta"),
    "judgement": phrases("más fácil | más sabio | más útil | más barato | más bonito | menos arriesgado | más raro"),
}

TOPICS = {
    "gardening": {
        "person": phrases(
            "la vecina | el viejo jardinero | nuestra tía | el maestro jubilado | la hija del cartero | mi abuelo"
            "| la dueña del vivero"
        ),
        "people": phrases("los jardineros | los vecinos | los novatos | los hortelanos | las floristas | los niños"),
        "task": phrases("{verb} {object}"),
        "verb": phrases("podar | regar | plantar | trasladar | cubrir | abonar | cuidar | cosechar"),
        "object": phrases(
            "los rosales | el manzano | unas judías | los tomates jóvenes | el seto de lavanda | dos calabazas"
            "| la vieja parra | las frambuesas | los tulipanes | el perejil"
        ),
        "tool": phrases("una pala | la regadera | unas tijeras | mucho abono | el rastrillo | un ovillo de cuerda"),
        "place": phrases(
            "en el invernadero | detrás del cobertizo | junto al muro | en el balcón | bajo el peral"
            "| cerca del estanque"
        ),
        "fact": phrases(
            """
            la tierra sigue húmeda {time}
            los caracoles devoran {adverb} {object}
            las abejas visitan {object} {time}
            {number} hojas brotan {place}
            la paja protege {adverb} {object}
            el hielo amenaza {object} {place}
            """
        ),
    },
    "cooking": {
        "person": phrases(
            "el cocinero | mi abuela | la panadera | nuestro anfitrión | el aprendiz más joven | el tío Bernardo"
            "| la vendedora"
        ),
        "people": phrases(
            "los cocineros | los panaderos | los invitados | los golosos | las aprendices | los viajeros"
        ),
        "task": phrases("{verb} {object}"),
        "verb": phrases("remover | probar | servir | calentar | preparar | cortar | compartir | sazonar"),
        "object": phrases(
            "la sopa de cebolla | el pan de centeno | un guiso | la tarta de ciruelas | la salsa de tomate"
            "| las lentejas | unos fideos frescos | la empanada | las patatas | el bizcocho"
        ),
        "tool": phrases(
            "una cuchara de madera | la sartén grande | mucha sal | la olla de cobre | la mantequilla | el rodillo"
        ),
        "place": phrases(
            "en la cocina | en el viejo fogón | en el mercado | junto al fuego | en la mesa | en la fonda"
        ),
        "fact": phrases(
            """
            la masa reposa {number} horas {place}
            la sal estropea {adverb} {object}
            el olor llena la casa {time}
            {number} invitados esperan {place}
            el vapor sube {adverb} {place}
            el vinagre salva {object} {time}
            """
        ),
    },
    "local history": {
        "person": phrases(
            "el párroco | una historiadora | la viuda del molinero | el archivero | un pintor viajero | la alcaldesa"
            "| el cantero"
        ),
        "people": phrases(
            "los historiadores | los aldeanos | los mercaderes | los peregrinos | los canteros | las monjas"
        ),
        "task": phrases("{verb} {object}"),
        "verb": phrases("restaurar | describir | reconstruir | visitar | vender | medir | defender | dibujar"),
        "object": phrases(
            "el puente de piedra | la abadía | el ayuntamiento | el viejo molino | la puerta del castillo | el pozo"
            "| la torre | las murallas | el camino real | el granero"
        ),
        "tool": phrases(
            "un mapa amarillento | el registro | una caja de cartas | una fotografía antigua | un sello| el libro mayor"
        ),
        "place": phrases(
            "junto al río | en la villa alta | en el cerro | fuera de las murallas | cerca de la plaza | en el archivo"
        ),
        "fact": phrases(
            """
            el incendio destruyó {number} casas {place}
            los documentos contradicen {adverb} a la gente
            {people} vivían {place}
            el duque perdió {object} {time}
            {people} celebraban {time} una feria
            nadie recuerda {adverb} {object}
            """
        ),
    },
    "music": {
        "person": phrases(
            "la directora | un violinista callejero | el maestro del coro | el afinador | una soprano tímida"
            "| el viejo batería | la profesora de piano"
        ),
        "people": phrases("los músicos | las cantantes | los oyentes | los alumnos | los organistas | las bandas"),
        "task": phrases("{verb} {object}"),
        "verb": phrases("ensayar | tocar | copiar | grabar | cantar | memorizar | arreglar | escuchar"),
        "object": phrases(
            "el movimiento lento | una canción popular | la segunda estrofa | la parte del chelo | un himno | un vals"
            "| el pasaje difícil | una nana | la marcha | el estribillo"
        ),
        "tool": phrases("un diapasón | el metrónomo | un violín prestado | el piano | un lápiz | una flauta de madera"),
        "place": phrases(
            "en la sala | en la plaza | en una iglesia fría | en la escuela | bajo los arcos | cerca del escenario"
        ),
        "fact": phrases(
            """
            el público tararea {adverb} {object}
            una cuerda se rompe {time}
            {number} voces cantan {object}
            el silencio llena la sala {time}
            el eco repite {adverb} {object}
            el ruido molesta a {people} {place}
            """
        ),
    },
}

BOOK = PhraseBook(
    language="es",
    sentences=SENTENCES,
    headlines=phrases(
        """
        cómo {task} {time}
        {number} maneras de {task}
        {task} con {tool}
        {person} y {tool}
        {place}, {fact}
        """
    ),
    slots=SLOTS,
    topics=TOPICS,
    names=phrases("Lucía Romero | Iván Peña | Marta Núñez | Óscar Gil | Elena Vidal | Tomás Ríos"),
    menu=phrases("Inicio | Noticias | Consejos | Foro | Tienda | Quiénes somos | Contacto | Archivo | Agenda"),
    labels={
        "by": "Escrito por",
        "cookies": "Este sitio utiliza cookies. Al continuar, acepta nuestra política de privacidad.",
        "accept": "Aceptar todo",
        "related": "También le puede gustar",
        "comments": "Comentarios",
        "reply": "Responder",
        "popular": "Lo más leído",
        "search": "Buscar en este sitio",
        "rights": "Todos los derechos reservados. Aviso legal.",
        "share": "Compartir esta página",
        "contact": "¿Preguntas? Escriba a {email} o llame al {phone}. El servidor responde en {ip}.",
    },
)
