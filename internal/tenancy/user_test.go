package tenancy

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/fila-ia/filaia/internal/fault"
)

func refused(err error) []string {
	var f *fault.Error
	var names []string
	if errors.As(err, &f) {
		for _, field := range f.Fields {
			names = append(names, field.Name)
		}
	}
	return names
}

func TestUserDraftTellsEveryRejectedField(t *testing.T) {
	good := UserDraft{Name: "Ana", Email: "ana@x.com", Role: Viewer, Password: "uma senha longa"}
	for name, c := range map[string]struct {
		change func(*UserDraft)
		want   []string
	}{
		"good":                     {func(*UserDraft) {}, nil},
		"empty":                    {func(d *UserDraft) { *d = UserDraft{} }, []string{"name", "email", "role", "password"}},
		"long":                     {func(d *UserDraft) { d.Name, d.Password = strings.Repeat("á", 121), strings.Repeat("é", 201) }, []string{"name", "password"}},
		"longest":                  {func(d *UserDraft) { d.Name, d.Password = strings.Repeat("á", 120), strings.Repeat("é", 200) }, nil},
		"nine letters":             {func(d *UserDraft) { d.Password = "ééééééééé" }, []string{"password"}},
		"address with a name":      {func(d *UserDraft) { d.Email = "Ana <ana@x.com>" }, []string{"email"}},
		"header in the address":    {func(d *UserDraft) { d.Email = "ana@x.com\r\nBcc: b@x.com" }, []string{"email"}},
		"customer's role, no one":  {func(d *UserDraft) { d.Role = TenantAdmin }, []string{"tenant"}},
		"team's role, a customer":  {func(d *UserDraft) { d.TenantID = 3 }, []string{"tenant"}},
		"customer's role and its":  {func(d *UserDraft) { d.Role, d.TenantID = TenantViewer, 3 }, nil},
		"capitals in the address":  {func(d *UserDraft) { d.Email = " ANA@X.com " }, nil},
		"a role that is not there": {func(d *UserDraft) { d.Role = "king" }, []string{"role"}},
	} {
		d := good
		c.change(&d)
		if got := refused(d.Validate()); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	d := UserDraft{Name: "  Ana ", Email: " ANA@X.com ", Role: Owner}
	if err := d.ValidateProfile(); err != nil || d.Name != "Ana" || d.Email != "ana@x.com" {
		t.Errorf("%+v: %v", d, err)
	}
}

func TestRolesBelongToOneSideAndOnlyTheirOwnMayEdit(t *testing.T) {
	for role, want := range map[Role][3]bool{
		Owner: {false, true, true}, Manager: {false, true, false}, Viewer: {}, TenantAdmin: {true, false, false}, TenantViewer: {true, false, false},
	} {
		if got := [3]bool{role.OfTenant(), role.MayEdit(), role.MayManageUsers()}; got != want {
			t.Errorf("%s: %v, want %v", role, got, want)
		}
	}
}

func TestAnAddressIsOneThatMailCanBeSentTo(t *testing.T) {
	for text, want := range map[string]bool{
		"ana@padaria.example": true, "ana@ação.example": true, "root@localhost": true, strings.Repeat("a", 64) + "@x.example": true,
		"a@[127.0.0.1]": false, "a@[IPv6:::1]": false, "a@a_b.example": false, "a@-x.example": false, strings.Repeat("a", 65) + "@x.example": false,
		"Ana <a@x.example>": false, "a@x.example,b@x.example": false, "a@x.example\n": false, "a": false, "": false,
	} {
		if got := ValidEmail(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
