package cache

import "strings"

// The words below turn a question into another one while its vector hardly moves. They are written without accents and
// in small letters. A word too many here costs a hit; one too few may give a wrong answer.

// negations, each by a name: "don't" and "do not" are one. "No" is none in Portuguese (in the), where the text is
// seen to be that.
var negations = byName(map[string]string{
	"not": `not cannot dont doesnt didnt isnt arent wasnt werent cant couldnt wont wouldnt shouldnt havent hasnt hadnt aint
		mustnt neednt`,
	"nao":   "nao naum nn",
	"never": "never nunca jamais jamas", "without": "without sem sin", "none": "none nenhum nenhuma nenhuns nenhumas ningun ninguno ninguna",
	"nothing": "nothing nada", "nobody": "nobody ninguem nadie", "nor": "nor nem neither tampouco tampoco ni",
	"no": "no nope", "except": "except exceto excepto salvo unless", "nicht": "nicht kein keine pas non senza",
})

// portugueseWords are common in Portuguese, and words of neither English nor Spanish, nor in well-known names.
var portugueseWords = setOf(`
	nao voce voces ao aos pelo pela qual quais quanto quanta quando onde meu minha meus minhas foi tem tenho posso
	fica estou tambem entao isso essa esse ele ela obrigado obrigada
`)

// opposites that are told by the whole word.
var oppositeWords = setOf(`
	sim yes sempre always antes depois durante apos before after during ontem hoje amanha yesterday today tomorrow agora now
	segunda terca quarta quinta sexta sabado domingo monday tuesday wednesday thursday friday saturday sunday
	segundas tercas quartas quintas sextas sabados domingos mondays tuesdays wednesdays thursdays fridays saturdays sundays
	feriado feriados holiday holidays semana week mes meses month months ano anos year years dia dias day days hora horas hour hours
	minuto minutos minute minutes segundo segundos second seconds
	janeiro fevereiro marco abril maio junho julho agosto setembro outubro novembro dezembro
	january february march april may june july august september october november december
	manha tarde noite madrugada morning afternoon evening night meio meia half metade dobro double triplo triple twice once
	on off in out up down mais menos more less fewer maior menor melhor pior better worse best worst
	todo toda todos todas tudo all every each cada algum alguma alguns algumas some any ambos both either
	so somente apenas only ate desde until since acima abaixo above below sobre sob over under dentro fora inside outside
	minimo minima maximo maxima min max minimum maximum alto alta baixo baixa high low quente frio fria hot cold
	novo nova velho velha antigo antiga new old esquerda direita left right norte sul leste oeste north south east west
	masculino feminino male female homem mulher man woman pai mae father mother filho filha
	primeiro primeira ultimo ultima terceiro terceira first last third next previous proximo proxima anterior
	quem quando onde porque who when where why verdadeiro falso true false certo errado right wrong
	gratis gratuito gratuita free paid publico publica publicos publicas privado privada privados privadas public private
	positivo positiva negativo negativa positive negative vivo morto alive dead cheio vazio full empty rico pobre rich poor
	grande pequeno pequena big small large curto longo short long rapido lento fast slow leve pesado facil dificil easy hard
	interno externo internal external antecedente consequente lucro prejuizo profit loss mensal anual monthly yearly annual
	diario semanal daily weekly fisica juridica pix boleto credito debito credit debit
`)

// oppositeStems are told by how the word begins: the longest that fits. Where one is part of the other, as in ativar
// and desativar, both stand here.
var oppositeStems = setOf(`
	abr abert fech encerr open clos entra saida sair saem compr vend buy sell sold purchas
	lig deslig ativ desativ inativ reativ habilit desabilit enabl disabl activ deactiv inactiv bloque desbloque block unblock
	lock unlock instal desinstal uninstal aument diminu reduz increas decreas reduc subi desce ganh perd lose lost
	envi receb send sent receiv deposit saca saque sacar withdraw importa importe exporta exporte importing exporting
	inclu exclu adicion remov apag delet criar crie cria create cancel renov renew assin desassin subscri unsubscri
	aceit recus accept reject refus permit proib allow forbid prohib deny inici comec termin finaliz start stop begin
	possiv imposs possib impossib legal ilegal illegal valid invalid segur insegur safe unsafe secure insecure
	complet incomplet corret incorret correct incorrect conect desconect connect disconnect mostr escond ocult show hide
	cresc decresc ascend descend fals encript decript encrypt decrypt codific decodific encod decod upload download
	login logout logar deslogar entrar pagar pago paga receita despesa income expens casad solteir married single
	contrat demit hire fire aprov reprov approv vantag desvantag advantag disadvantag benef malef
	poss impossi depend independ direto indireto direct indirect normal anormal abnormal usual incomum unusual
	fazer desfaz undo redo montar desmont carreg descarreg load unload cobr descobr acord desacord agree disagree
	love hate ador detest ama amar odia
`)

const longestStem = 12

// oppositeOf gives what a word without accents stands for among the opposites, or "".
func oppositeOf(word string) string {
	if oppositeWords[word] {
		if len(word) > 4 {
			return strings.TrimSuffix(word, "s") // a plural is no opposite
		}
		return word
	}
	for n := min(len(word), longestStem); n >= 2; n-- {
		if oppositeStems[word[:n]] {
			return word[:n]
		}
	}
	return ""
}

func setOf(words string) map[string]bool {
	set := map[string]bool{}
	for _, word := range strings.Fields(words) {
		set[word] = true
	}
	return set
}

func byName(groups map[string]string) map[string]string {
	names := map[string]string{}
	for name, words := range groups {
		for _, word := range strings.Fields(words) {
			names[word] = name
		}
	}
	return names
}
