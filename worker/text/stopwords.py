"""Words that carry no topic, by language; for those who want them gone. It costs a BERT accuracy (docs/guide.md).

Articles, pronouns, prepositions, conjunctions and auxiliaries only, the closed classes of a language. The lists that
packages bring are for search engines: they hold `free`, `computer` and `world`, and `not`, which is what spam,
topics and opinions are told by.
"""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Sequence

from worker.errors import SettingsError

_AROUND = string.punctuation + "„“”‚‘’«»‹›…–—¡¿"

_LISTS = {
    "de": """
        der die das den dem des ein eine einen einem einer eines dieser diese dieses diesen diesem jener jene jenes
        ich du er sie es wir ihr mich dich ihn uns euch mir dir ihm ihnen sich mein meine meinen meinem meiner meines
        dein deine deinen deinem deiner sein seine seinen seinem seiner seines ihre ihren ihrem ihrer ihres unser
        unsere unseren unserem unserer euer eure euren in im an am auf aus bei beim bis durch für gegen mit nach ohne
        über um unter von vom vor zu zum zur zwischen und oder denn sondern weil dass daß ob wenn als wie während
        damit bin bist ist sind seid war waren wurde wurden werden wird werde worden habe hast hat haben hatte hatten
        kann können konnte muss müssen soll sollen will wollen da dann doch hier ja noch nun schon so auch man wer was
        welche welcher welches wo
    """,
    "en": """
        a an the this that these those i you he she it we they me him her us them my your his its our their mine yours
        hers ours theirs myself yourself himself herself itself ourselves themselves who whom whose which what where
        when why how of in on at by for from to into onto with about as off over under between through during before
        after above below up down out and or but if then than so because while until although though be am is are was
        were been being do does did doing have has had having will would shall should can could may might must here
        there all any both each some such also too very just only own same i'm you're he's she's it's we're they're
        i've you've we've they've i'll you'll he'll she'll we'll they'll that's there's
    """,
    "es": """
        el la los las lo un una unos unas este esta estos estas ese esa esos esas aquel aquella yo tú él ella ello
        nosotros vosotros ellos ellas usted ustedes me te se nos os le les mi mis tu tus su sus nuestro nuestra nuestros
        nuestras que quien cual donde cuando como de del a al en por para con entre desde hasta sobre bajo ante tras y e
        o u pero si porque aunque mientras pues ser soy eres es somos son era eran fue fueron sido estar estoy está
        están estaba he has ha hemos han había haber hay ya muy más también así
    """,
    "fr": """
        le la les l' un une des du de d' ce cet cette ces je tu il elle on nous vous ils elles me te se moi toi lui eux
        leur leurs mon ma mes ton ta tes son sa ses notre nos votre vos qui que quoi dont où quel quelle quels quelles à
        au aux en dans par pour avec chez entre depuis vers sur sous et ou mais donc or car si comme lorsque quand
        parce que être suis es est sommes êtes sont était étaient été ai as a avons avez ont avait avaient eu y c'est
        j'ai plus très aussi ainsi
    """,
    "it": """
        il lo la i gli le l' un uno una questo questa questi queste quello quella quelli quelle io tu lui lei noi voi
        loro mi ti si ci vi ne me te mio mia miei mie tuo tua tuoi tue suo sua suoi sue nostro nostra vostro vostra che
        chi cui quale quali dove quando come di del della dei degli delle a al alla ai agli alle da dal dalla in nel
        nella nei con su sul sulla per tra fra e ed o ma se perché anche essere sono sei è siamo siete era erano stato
        stata ho hai ha abbiamo avete hanno aveva più molto così
    """,
    "nl": """
        de het een deze dit die dat ik jij je u hij zij ze wij we jullie mij me jou hem haar ons hen hun mijn jouw uw
        zijn onze wie wat welke waar wanneer hoe van in op aan bij door voor met naar om onder over tot uit tussen en
        of maar want als omdat dan terwijl ben bent is was waren wordt worden werd geworden heb hebt heeft hebben had
        hadden kan kunnen moet moeten zal zullen zou er ook nog al zo te
    """,
    "pt": """
        o a os as um uma uns umas este esta estes estas esse essa isso isto aquele aquela eu tu ele ela nós vós eles
        elas você vocês me te se nos lhe lhes meu minha meus minhas teu tua seu sua seus suas nosso nossa que quem qual
        onde quando como de do da dos das em no na nos nas a ao à aos às por pelo pela para com entre desde até sobre
        sob e ou mas se porque embora enquanto pois ser sou é somos são era eram foi foram sido estar estou está estão
        estava ter tenho tem têm tinha há já muito mais também assim
    """,
}
LANGUAGES = tuple(_LISTS)


def stop_words(languages: Sequence[str]) -> frozenset[str]:
    """The words of languages by their ISO 639-1 codes, in lower case. Raises `SettingsError` for one without a list."""
    unknown = [language for language in languages if language not in _LISTS]
    if unknown:
        raise SettingsError(f"text.stop_words: no list for {unknown[0]!r}; there are {', '.join(LANGUAGES)}")
    return frozenset(word for language in languages for word in _LISTS[language].split())


def without_words(text: str, words: frozenset[str]) -> str:
    """The other words, one space apart. Words are what stands between white space, punctuation around them aside."""
    return " ".join(word for word in text.split() if word.strip(_AROUND).lower() not in words)


def without_punctuation(text: str) -> str:
    """A space in the place of each punctuation mark of any script; symbols and combining marks stay."""
    marks = {ord(c): " " for c in set(text) if not c.isalnum() and unicodedata.category(c)[0] == "P"}
    return text.translate(marks) if marks else text
