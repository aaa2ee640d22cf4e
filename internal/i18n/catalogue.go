package i18n

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"sync"
)

//go:embed locales
var locales embed.FS

// message is one text, or two where the number decides. Both texts of a plain one are in Other.
type message struct {
	One   string `json:"one"`
	Other string `json:"other"`
}

// UnmarshalJSON takes "text" or {"one": "text", "other": "text"}.
func (m *message) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		return json.Unmarshal(data, &m.Other)
	}
	type plain message
	if err := json.Unmarshal(data, (*plain)(m)); err != nil {
		return err
	}
	if m.One == "" || m.Other == "" {
		return fmt.Errorf(`a counted text needs "one" and "other", got %s`, data)
	}
	return nil
}

type catalogue map[string]message

// loaded reads the embedded catalogues once. They are part of the binary, so a malformed one is a broken build.
var loaded = sync.OnceValue(func() map[Lang]catalogue {
	all := make(map[Lang]catalogue, len(Langs()))
	for _, lang := range Langs() {
		texts, err := load(locales, path.Join("locales", string(lang)))
		if err != nil {
			panic(err)
		}
		all[lang] = texts
	}
	return all
})

// load merges the families in a folder. A key in two families is an error: which one wins would depend on names.
func load(files fs.FS, folder string) (catalogue, error) {
	names, err := fs.Glob(files, path.Join(folder, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("list catalogues in %s: %w", folder, err)
	}
	merged := catalogue{}
	for _, name := range names {
		data, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, fmt.Errorf("read catalogue %s: %w", name, err)
		}
		var family catalogue
		if err := json.Unmarshal(data, &family); err != nil {
			return nil, fmt.Errorf("catalogue %s: %w", name, err)
		}
		for key, msg := range family {
			if _, twice := merged[key]; twice {
				return nil, fmt.Errorf("catalogue %s: key %q is already in another family", name, key)
			}
			merged[key] = msg
		}
	}
	return merged, nil
}
