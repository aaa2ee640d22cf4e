package emails

import "strings"

// face is the letters; each cell says it, because some clients inherit nothing.
const face = "font-family:-apple-system,BlinkMacSystemFont,Segoe UI,Roboto,Helvetica,Arial,sans-serif;"

// long breaks a name that is wider than a phone.
const long = "overflow-wrap:anywhere;word-break:break-word;"

// head holds what only some clients read. The rules for dark overrule the inline colours.
const head = `<style>
:root{color-scheme:light dark;supported-color-schemes:light dark}
a{text-decoration-skip-ink:auto}
@media (max-width:480px){.around{padding:16px 8px!important}.inner{padding:20px 18px 24px!important}}
@media (prefers-color-scheme:dark){
.ground{background-color:#111719!important}
.card{background-color:#192124!important;border-color:#2a3438!important}
.text{color:#e4eaec!important}
.soft{color:#a3b0b5!important}
.accent{color:#4fb9cc!important}
.line{border-color:#2a3438!important}
.track{background-color:#2a3438!important}
.button,.button-text{background-color:#4fb9cc!important;border-color:#4fb9cc!important;color:#06242b!important}
.input{background-color:#3fa9bd!important}.input-text{color:#3fa9bd!important}
.output{background-color:#f0b45c!important}.output-text{color:#f0b45c!important}
.stripe-info{background-color:#4fb9cc!important}.stripe-warn{background-color:#e0a03c!important}
.stripe-bad{background-color:#e0655e!important}.stripe-good{background-color:#5cc98f!important}
.badge-info{background-color:#16343b!important;color:#7fd0de!important}
.badge-warn{background-color:#372c17!important;color:#efb658!important}
.badge-bad{background-color:#3b2022!important;color:#f4aaa4!important}
.badge-good{background-color:#15322a!important;color:#5cc98f!important}
}
</style><!--[if mso]><style>table,td,th,p,a,h1,h2{font-family:Arial,sans-serif!important}</style><![endif]-->`

// narrowBegin and narrowEnd hold the width in Outlook on Windows, which knows no max-width.
const (
	narrowBegin = `<!--[if mso]><table role="presentation" width="600" cellpadding="0" cellspacing="0" border="0" align="center"><tr><td><![endif]-->`
	narrowEnd   = `<!--[if mso]></td></tr></table><![endif]-->`
)

// padding keeps clients from showing the body's first words after a short preheader.
func padding() string { return strings.Repeat("&#847;&zwnj;&nbsp;", 60) }

// preheader is what lists of messages show beside the subject.
func (pg *page) preheader() string { return joined(pg.banner, strings.Join(pg.lead, " ")) }

// width of the bar in percent.
func (pg *page) width() int { return int(min(pg.filled/100, 100)) }

func (t tone) fill() string {
	return map[tone]string{info: "#0b6377", warn: "#e09a2b", bad: "#cf4b45", good: "#1a7f4b"}[t]
}

func (t tone) soft() string {
	return map[tone]string{info: "#e3f0f2", warn: "#fdf2dc", bad: "#fbe9e7", good: "#e5f4ec"}[t]
}

func (t tone) ink() string {
	return map[tone]string{info: "#084e5e", warn: "#7d4f06", bad: "#8f2222", good: "#14653b"}[t]
}

func (b bar) weight() string {
	if b.today {
		return "font-weight:700;"
	}
	return ""
}
