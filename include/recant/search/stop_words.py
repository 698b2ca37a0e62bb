"""Stop words: what a language says in every sentence. Left out of the keyword index, and how a text's language is told."""

from __future__ import annotations

from types import MappingProxyType

ENGLISH = """
a about above after again against all also am an and any are as at be because been before being below between both but by can
could did do does doing don down during each few for from further had has have having he her here hers herself him himself his
how i if in into is it its itself just ll m me might more most must my myself no nor not now o of off on once only or other our
ours ourselves out over own re s same shall she should so some such t than that the their theirs them themselves then there
these they this those through to too under until up upon us ve very was we were what when where which while who whom why will
with would you your yours yourself yourselves
"""
GERMAN = """
aber alle allem allen aller alles als also am an ander andere anderem anderen anderer anderes auch auf aus bei beim bin bis bist
da damit dann das dass dein deine dem den denn der des dessen die dies diese diesem diesen dieser dieses dir doch dort du durch
ein eine einem einen einer eines einige einmal er es etwas euer eure für gegen habe haben hat hatte hatten hier hinter ich ihm
ihn ihnen ihr ihre ihrem ihren ihrer im in ist ja jede jedem jeden jeder jedes jetzt kann kein keine keinem keinen keiner können
könnte man mehr mein meine mich mir mit muss nach nicht nichts noch nun nur ob oder ohne sehr sein seine seinem seinen seiner
seit sich sie sind so solche soll sollte sondern über um und uns unser unsere unter viel vom von vor war waren was weg weil wenn
werden wie wieder wir wird wo wollen wurde wurden zu zum zur zwar zwischen
"""
FRENCH = """
ai alors as au aucun aussi autre aux avait avec avoir c car ce ceci cela celle celles celui ces cet cette ceux chaque comme d
dans de des donc dont du elle elles en encore entre es est et étaient étais était étant être eu eux fait fut il ils j je l la
laquelle le lequel les leur leurs lui mais même mes moi mon n ne ni nos notre nous on ont or ou où par pas pendant peu peut peuvent
plus pour pourquoi qu quand que quel quelle quelles quels qui sa sans se sera ses si sinon soit son sont sous sur ta tandis te tes
toi ton tous tout toute toutes très tu un une vers voici voilà vos votre vous y été à
"""
SPANISH = """
a al algo algunas algunos ante antes aquel aquella aquí así aunque cada como con contra cual cuales cuando de del desde donde dos
durante e el ella ellas ellos en entre era eran es esa esas ese eso esos esta estaba estado estamos están estar estas este esto
estos está fue fueron ha había hace hacer han hasta hay la las le les lo los me mi mientras mis mucho muchos muy más mí nada ni no
nos nosotros nuestra nuestro o os otra otras otro otros para pero poco por porque puede pueden pues que quien quienes qué se sea
ser si sido sin sino sobre solo son su sus sí también tanto te tiene tienen todo todos tu tus tú un una unas uno unos usted y ya yo
él
"""
ITALIAN = """
a abbiamo agli ai al alla alle allo altre altri altro anche ancora avere aveva c che chi ci coi col come con contro cosa così cui
da dagli dai dal dalla dalle dallo dei degli del dell della delle dello dentro di dopo dove due e ed era erano essere fa fare fino
fra gli ha hanno ho i il in io l la le lei li lo loro lui ma me mentre mi mia mio molto ne nei negli nel nell nella nelle nello no
noi non nostro o ogni oppure per perché però più poi può qual quale quali quando quanto quella quelle quelli quello questa queste
questi questo qui quindi sarà se sei si sia sono sopra sotto sta stata stati stato su sua sue sugli sui sul sull sulla sulle sullo
suo suoi tra tu tutti tutto un una uno vi è
"""
PORTUGUESE = """
a ainda além ao aos apenas as até cada com como contra da das de dela dele deles depois desde dessa desse desta deste do dos e ela
elas ele eles em enquanto entre era eram essa essas esse esses esta estas estava este estes está estão eu foi foram for há isso
isto já lhe mais mas me mesma mesmo meu minha muito muitos na nas nem no nos nossa nosso num numa não nós o onde os ou outra outras
outro outros para pela pelas pelo pelos pode podem por porque porém qual quando que quem se seja sem sempre ser será seu seus sido
sobre sua suas são só também te tem tendo ter todas todo todos tu têm um uma umas uns você vocês à às é
"""
DUTCH = """
aan al alle alleen als altijd andere ben bij dan dat de der deze die dit doch doen door dus een eens en er ge geen had heb hebben
heeft hem het hier hij hoe hun iemand iets ik in is ja je kan kon kunnen maar me meer men met mij mijn moet na naar niet niets nog
nu of om omdat onder ons onze ook op over reeds te tegen toch toen tot u uit uw van veel voor want waren was wat we wel werd wezen
wie wij wil worden wordt zal ze zelf zich zij zijn zo zonder zou zullen
"""
SWEDISH = """
alla allt andra att av bara blev bli blir de deg dem den denna deras dess dessa det detta dig din ditt du där då efter eller en er
ett från för ha hade han hans har henne hennes hon honom hur här i icke in inom inte jag ju kan kunde man med mellan men mig min
mitt mot mycket ni nu när någon något några och om oss på sedan sig sin sina sitt skall skulle som så sådan till under upp ut utan
vad var vara varför varit vi vid vilka vilken vår våra än är åt över
"""
DANISH = """
ad af alle alt anden at blev blive bliver da de dem den denne der deres det dette dig din disse dog du efter eller en end er et for
fra ham han hans har havde have hende hendes her hos hun hvad hvis hvor i ikke ind jeg jer jo kunne man mange med meget men mig min
mine mit mod ned noget nogle nu når og også om op os over på selv sig sin sine sit skal skulle som sådan thi til ud under var vi vil
ville vor være været
"""
NORWEGIAN = """
alle at av bare begge ble bli blir da de deg dei dem den denne der dere deres det dette di din disse du eller en enn er et etter for
fordi fra før ha hadde han hans har hennes her hun hva hvem hver hvilke hvis hvor hvordan hvorfor i ikke inn ja jeg kan kom kun kunne
man mange med meg meget mellom men mer min mot mye nei noe noen nå når og også om opp oss over på samme seg selv si sin sine skal
skulle slik som så til under ut uten var ved vi vil ville være vært vår å
"""
RUSSIAN = """
а без более бы был была были было быть в вам вас весь во вот все всего всех вы где да даже для до его ее ей ему если есть еще же за
здесь и из или им их к как когда которая которые который кто ли либо между меня мне может мы на над надо нас не него нее нет ни
них но ну о об однако он она они оно от очень по под при с со так также такой там те тем то того тоже той только том ты у уже хотя
чего чей чем что чтобы чье эта эти это этого этой этом этот я
"""

STOP_WORDS = MappingProxyType(
    {
        "english": frozenset(ENGLISH.split()),
        "german": frozenset(GERMAN.split()),
        "french": frozenset(FRENCH.split()),
        "spanish": frozenset(SPANISH.split()),
        "italian": frozenset(ITALIAN.split()),
        "portuguese": frozenset(PORTUGUESE.split()),
        "dutch": frozenset(DUTCH.split()),
        "swedish": frozenset(SWEDISH.split()),
        "danish": frozenset(DANISH.split()),
        "norwegian": frozenset(NORWEGIAN.split()),
        "russian": frozenset(RUSSIAN.split()),
    }
)
"""By language, as PyStemmer names it."""
