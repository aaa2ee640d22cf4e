package handlers

import (
	"strings"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/views/ui"
)

// brazilianZones are Brazil's, the most populous first.
var brazilianZones = []string{
	"America/Sao_Paulo", "America/Bahia", "America/Fortaleza", "America/Recife", "America/Maceio", "America/Belem",
	"America/Araguaina", "America/Santarem", "America/Manaus", "America/Cuiaba", "America/Campo_Grande", "America/Porto_Velho",
	"America/Boa_Vista", "America/Rio_Branco", "America/Eirunepe", "America/Noronha",
}

// otherZones are those of customers abroad, by name.
var otherZones = []string{
	"America/Argentina/Buenos_Aires", "America/Asuncion", "America/Bogota", "America/Caracas", "America/Chicago", "America/La_Paz",
	"America/Lima", "America/Los_Angeles", "America/Mexico_City", "America/Montevideo", "America/New_York", "America/Santiago",
	"America/Toronto", "Africa/Luanda", "Africa/Maputo", "Asia/Dubai", "Asia/Kolkata", "Asia/Shanghai", "Asia/Singapore", "Asia/Tokyo",
	"Atlantic/Azores", "Australia/Sydney", "Europe/Berlin", "Europe/Lisbon", "Europe/London", "Europe/Madrid", "Europe/Paris", "UTC",
}

// zoneOptions offers Brazil's zones, then others; one in use is always among them.
func zoneOptions(say i18n.Printer, inUse string) []ui.Option {
	var options []ui.Option
	found := inUse == ""
	for _, name := range append(append([]string{}, brazilianZones...), otherZones...) {
		options = append(options, ui.Option{Value: name, Label: zoneLabel(say, name)})
		found = found || name == inUse
	}
	if !found {
		options = append(options, ui.Option{Value: inUse, Label: zoneLabel(say, inUse)})
	}
	return options
}

// zoneLabel names a zone by its places where it is one of Brazil's main ones, else by its city.
func zoneLabel(say i18n.Printer, name string) string {
	switch name {
	case "America/Sao_Paulo":
		return say.T("tenants.zone.sao_paulo")
	case "America/Manaus":
		return say.T("tenants.zone.manaus")
	case "America/Rio_Branco":
		return say.T("tenants.zone.rio_branco")
	case "America/Noronha":
		return say.T("tenants.zone.noronha")
	}
	city := name[strings.LastIndex(name, "/")+1:]
	return strings.ReplaceAll(city, "_", " ")
}
