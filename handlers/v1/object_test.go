package v1

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

func TestObjectsAreReadInOnePass(t *testing.T) {
	text := " {\"a\" : 1.5e-3 ,\"b\\u0063\":{\"x\":[1,\"]}\"]},\t\"\":null,\"a\":\"q\\\"uote\",\"t\":true} \n"
	var got []string
	sound := readObject([]byte(text), func(name string, value []byte) { got = append(got, name+"="+string(value)) })
	if sound != isObject {
		t.Fatal(sound)
	}
	want := []string{"a=1.5e-3", `bc={"x":[1,"]}"]}`, "=null", `a="q\"uote"`, "t=true"}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("%q", got)
	}
}

func TestWhatIsNoObjectIsToldFromWhatIsNoJSON(t *testing.T) {
	deep := strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth)
	for text, want := range map[string]soundness{
		`{}`: isObject, ` [] `: isOther, `"x"`: isOther, `-0`: isOther, `null`: isOther, deep: isOther,
		"[" + deep + "]": isTooDeep, `{"a":` + deep + "}": isTooDeep, strings.Repeat(`{"a":`, 100_000): isTooDeep,
		``: isBroken, `{`: isBroken, `{"a":1`: isBroken, `{"a":1,}`: isBroken, `{,}`: isBroken, `{a:1}`: isBroken, `{"a" 1}`: isBroken,
		`{}{}`: isBroken, "{}\x00": isBroken, `[1,]`: isBroken, `[1 2]`: isBroken, `01`: isBroken, `1.`: isBroken, `.5`: isBroken, `1e`: isBroken,
		`-`: isBroken, `tru`: isBroken, `nulll`: isBroken, `"`: isBroken, `"a`: isBroken, "\"a\nb\"": isBroken, `"\x"`: isBroken, `"\u12g4"`: isBroken,
		`"\u12"`: isBroken, `"12345678\`: isBroken, "\"1234567\x1f\"": isBroken, "\"12345678\x00\"": isBroken,
	} {
		if got := readObject([]byte(text), nil); got != want {
			t.Errorf("%.40q: %v, not %v", text, got, want)
		}
	}
}

type member struct{ name, value string }

// FuzzObject holds the reader to what two others say.
func FuzzObject(f *testing.F) {
	f.Add([]byte(`{"model":"gpt-4.1-nano","n":-1.5E+3,"messages":[{"role":"user","content":"Olá \"você\" \\ \ud83d\ude00"}],"x":[[],{},true,false,null]}`))
	f.Add([]byte("[0,\"1234567\\\"89\x7f\xff\",{\"\":{}}]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var list []member
		sound := readObject(text, func(name string, value []byte) { list = append(list, member{name, string(value)}) })
		if sound == isTooDeep {
			return
		}
		if got, want := sound != isBroken, json.Valid(text); got != want || got != gjson.ValidBytes(text) || got != validJSON(text) {
			t.Fatalf("valid: %v, not %v: %q", got, want, text)
		}
		if sound != isObject {
			return
		}
		n := 0
		gjson.ParseBytes(text).ForEach(func(key, value gjson.Result) bool {
			if key.Str != list[n].name || value.Raw != list[n].value {
				t.Fatalf("%q is %q, not %q is %q", list[n].name, list[n].value, key.Str, value.Raw)
			}
			n++
			return true
		})
		if n != len(list) {
			t.Fatalf("%d members, not %d: %q", len(list), n, text)
		}
	})
}
