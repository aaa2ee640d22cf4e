package openaitest

import "strings"

// subject is something that customers ask about, with what can be said of it.
type subject struct {
	name   string
	keys   []string // found in the question, lower case
	points []string
}

var subjects = []subject{
	{"vendas", []string{"venda", "comercial", "proposta", "lead", "crm", "funil"}, []string{
		"O ticket médio subiu 8% no trimestre, puxado pelos clientes que já renovaram o contrato.",
		"Vale separar as oportunidades por etapa do funil antes de comparar os vendedores.",
		"As propostas respondidas em até 24 horas fecham quase duas vezes mais.",
		"Um desconto acima de 12% reduz a margem sem aumentar a conversão.",
		"Retome os contatos parados há mais de 15 dias com uma oferta objetiva.",
	}},
	{"financeiro", []string{"financ", "fatura", "boleto", "nota fiscal", "imposto", "custo", "preço", "orçamento", "caixa", "pix", "cobrança"}, []string{
		"O fluxo de caixa fica positivo a partir do dia 10, quando entram os recebíveis do cartão.",
		"Concilie as notas fiscais com os pagamentos antes de fechar o mês.",
		"O maior custo variável continua sendo o frete, com 23% do total.",
		"Reserve o equivalente a dois meses de despesas fixas.",
		"Os boletos vencidos há mais de 30 dias devem seguir para a régua de cobrança.",
	}},
	{"jurídico", []string{"contrato", "cláusula", "jurídic", "lgpd", "processo", "advogad", "lei "}, []string{
		"A cláusula de rescisão prevê aviso prévio de 30 dias, sem multa após o primeiro ano.",
		"Os dados pessoais só podem ser tratados para a finalidade que foi informada ao titular.",
		"Recomendo incluir um limite de responsabilidade e o foro da comarca da contratada.",
		"O prazo para manifestação conta em dias úteis, a partir da intimação.",
		"Antes de assinar, confirme os poderes de quem representa a outra parte.",
	}},
	{"atendimento", []string{"cliente", "atendimento", "suporte", "reclama", "chamado", "sac", "pedido", "entrega"}, []string{
		"Comece reconhecendo o transtorno e diga o que já foi feito.",
		"O pedido aparece como enviado e a previsão de entrega é de três dias úteis.",
		"Metade dos chamados da semana trata de segunda via e pode ser resolvida por autoatendimento.",
		"Ofereça uma data concreta de retorno e registre-a no chamado.",
		"Quando houver atraso, avise o cliente antes que ele pergunte.",
	}},
	{"pessoas", []string{"rh", "vaga", "currículo", "candidat", "funcionári", "colaborador", "férias", "equipe"}, []string{
		"Descreva na vaga os resultados esperados nos primeiros 90 dias.",
		"As férias podem ser divididas em até três períodos, um deles de ao menos 14 dias.",
		"Uma conversa quinzenal de 30 minutos evita a maior parte das surpresas.",
		"Avalie os candidatos com o mesmo roteiro de perguntas.",
		"O maior motivo de saída apontado nas entrevistas foi a falta de um plano de carreira.",
	}},
	{"tecnologia", []string{"código", "code", "api", "erro", "bug", "sistema", "banco de dados", "sql", "python", "servidor", "função"}, []string{
		"O erro aparece quando a conexão é reutilizada depois do tempo limite.",
		"Valide a entrada na borda e deixe a regra de negócio livre de detalhes de HTTP.",
		"Um índice por data e cliente atende a essa consulta sem varrer a tabela.",
		"Reproduza a falha em um teste antes de corrigi-la.",
		"Guarde as credenciais fora do repositório e troque-as a cada 90 dias.",
	}},
	{"marketing", []string{"marketing", "campanha", "anúncio", "post", "rede social", "instagram", "e-mail", "email", "texto", "título"}, []string{
		"Um assunto com menos de 45 caracteres teve a maior taxa de abertura.",
		"Mostre o benefício na primeira frase e deixe o preço para depois.",
		"O público de 25 a 34 anos respondeu melhor aos vídeos curtos.",
		"Teste duas chamadas por semana e mantenha só a vencedora.",
		"Termine com uma única ação, clara e fácil de cumprir.",
	}},
	{"relatórios", []string{"relatório", "resum", "análise", "analis", "dados", "indicador", "planilha", "métrica", "gráfico"}, []string{
		"O período fechou com crescimento de 12,5%, concentrado na região Sudeste.",
		"Três indicadores explicam a maior parte da variação: volume, preço e cancelamentos.",
		"Há um desvio em março que vem da mudança de calendário, não da demanda.",
		"Compare sempre com o mesmo mês do ano anterior.",
		"A tabela deve mostrar o total, a variação e a meta, nessa ordem.",
	}},
	{"geral", nil, []string{
		"O primeiro passo é definir o resultado esperado e o prazo.",
		"Divida o trabalho em etapas curtas, cada uma com um responsável.",
		"Com os dados de hoje, a alternativa mais simples também é a mais barata.",
		"Os riscos principais são o prazo de terceiros e a falta de uma decisão registrada.",
		"Em duas semanas já será possível medir o efeito e ajustar o rumo.",
		"Convém ouvir quem executa a tarefa antes de mudar o processo.",
	}},
}

var openings = []string{
	"Sobre “%s”:", "Entendi a sua pergunta, “%s”.", "Para “%s”, este é o quadro.", "Em resumo, quanto a “%s”:",
	"Boa pergunta. “%s” pede atenção a alguns pontos.", "Analisei “%s” e cheguei ao seguinte.",
}

var plainOpenings = []string{"Claro, vamos por partes.", "Certo, segue uma visão geral.", "Com prazer. Em linhas gerais:"}

var listLeads = []string{" Os pontos principais são:\n", " Sugiro esta ordem:\n", " Em tópicos:\n"}

var closings = []string{
	"Se quiser, detalho cada ponto com exemplos.", "Posso montar uma tabela com esses números.",
	"Diga-me o prazo e eu adapto a recomendação.", "Quer que eu prepare uma versão para enviar à equipe?",
	"Com mais contexto, consigo ser mais preciso.", "Espero ter ajudado; fico à disposição.",
}

// wordsFor returns likely values of a string property by its name.
func wordsFor(name string) []string {
	name = strings.ToLower(name)
	for _, kind := range wordKinds {
		for _, key := range kind.keys {
			if strings.Contains(name, key) {
				return kind.words
			}
		}
	}
	return []string{"conforme combinado", "em andamento", "pronto para revisão", "aguardando retorno"}
}

var wordKinds = []struct{ keys, words []string }{
	{[]string{"email", "e-mail"}, []string{"ana.souza@exemplo.com.br", "financeiro@exemplo.com.br"}},
	{[]string{"city", "cidade", "location", "local"}, []string{"São Paulo", "Recife", "Curitiba", "Belo Horizonte"}},
	{[]string{"state", "estado", "uf"}, []string{"SP", "PE", "PR", "MG"}},
	{[]string{"country", "país", "pais"}, []string{"Brasil"}},
	{[]string{"company", "empresa", "cliente", "customer"}, []string{"Padaria Aurora Ltda.", "Construtora Horizonte S.A.", "Clínica Vida Plena"}},
	{[]string{"phone", "telefone", "celular"}, []string{"+55 11 4002-8922", "+55 81 3333-0000"}},
	{[]string{"date", "data", "prazo"}, []string{"2026-03-31", "2026-04-15"}},
	{[]string{"currency", "moeda"}, []string{"BRL"}},
	{[]string{"id", "code", "código", "codigo"}, []string{"A-1024", "B-2048", "C-4096"}},
	{[]string{"name", "nome"}, []string{"Ana Souza", "Bruno Lima", "Carla Mendes", "Diego Rocha"}},
	{[]string{"title", "título", "titulo", "subject", "assunto"}, []string{"Revisão do contrato", "Fechamento do mês", "Plano comercial"}},
	{[]string{"query", "consulta", "busca", "search"}, []string{"vendas por região em março", "clientes sem compra há 60 dias"}},
	{[]string{"summary", "resumo", "description", "descrição", "descricao", "reason", "motivo"}, []string{
		"Crescimento de 12,5% no trimestre, concentrado no Sudeste.", "Pedido confirmado e entrega prevista para sexta-feira."}},
}
