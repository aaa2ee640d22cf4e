package v1_test

import (
	"net/http"
	"testing"

	"github.com/fila-ia/filaia/internal/openaitest"
)

// TestWhatTheProviderStoresCannotBeReferredTo: all tenants share the operator's account, and it may be another's.
func TestWhatTheProviderStoresCannotBeReferredTo(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	for param, cases := range map[string][]struct{ path, members string }{
		"prompt": {{"/responses", `"input":"oi","prompt":{"id":"pmpt_x"}`}, {"/responses", `"input":"oi","prompt":"pmpt_x"`}},
		"input[1].content[1].file_id": {
			{"/responses", `"input":[{"role":"user","content":"a"},{"role":"user","content":[{"type":"input_text","text":"b"},{"type":"input_file","file_id":"file-x"}]}]`},
			{"/responses", `"input":[{},{"role":"user","content":[{},{"type":"input_image","file\u005fid":"file-x"}]}]`},
			{"/responses", `"input":[{},{"role":"user","content":[{},{"type":"input_file","file_id":null,"file_id":"file-x"}]}]`},
		},
		"input[0].output[0].file_id":                       {{"/responses", `"input":[{"type":"function_call_output","call_id":"c","output":[{"type":"input_file","file_id":"file-x"}]}]`}},
		"input[0].output.file_id":                          {{"/responses", `"input":[{"type":"computer_call_output","call_id":"c","output":{"type":"computer_screenshot","file_id":"file-x"}}]`}},
		"input[0].container_id":                            {{"/responses", `"input":[{"type":"code_interpreter_call","id":"ci_x","code":"1","container_id":"cntr_x"}]`}},
		"input[0].tools[0].vector_store_ids":               {{"/responses", `"input":[{"type":"additional_tools","tools":[{"type":"file_search","vector_store_ids":["vs_x"]}]}]`}},
		"input[0].tools[0].environment.skills[0].skill_id": {{"/responses", `"input":[{"type":"additional_tools","tools":[{"type":"shell","environment":{"skills":[{"skill_id":"s_x"}]}}]}]`}},
		"tools[1].vector_store_ids":                        {{"/responses", `"input":"oi","tools":[{"type":"web_search"},{"type":"file_search","vector_store_ids":["vs_x"]}]`}},
		"tools[0].container":                               {{"/responses", `"input":"oi","tools":[{"type":"code_interpreter","container":"cntr_x"}]`}},
		"tools[0].container.id":                            {{"/responses", `"input":"oi","tools":[{"type":"code_interpreter","container":{"id":"cntr_x"}}]`}},
		"tools[0].container.file_ids":                      {{"/responses", `"input":"oi","tools":[{"type":"code_interpreter","container":{"type":"auto","file_ids":["file-x"]}}]`}},
		"tools[0].environment.container_id":                {{"/responses", `"input":"oi","tools":[{"type":"shell","environment":{"type":"container_reference","container_id":"cntr_x"}}]`}},
		"tools[0].input_image_mask.file_id":                {{"/responses", `"input":"oi","tools":[{"type":"image_generation","input_image_mask":{"file_id":"file-x"}}]`}},
		"tools[0].tunnel_id":                               {{"/responses", `"input":"oi","tools":[{"type":"mcp","tunnel_id":"t_x"}]`}},
		"tools":                                            {{"/responses", `"input":"oi","tools":[],"tools":[{"type":"web_search"}]`}}, // which of two?
		"messages[0].content[0].file.file_id":              {{"/chat/completions", `"messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"file-x"}}]}]`}},
		"messages[1].audio.id":                             {{"/chat/completions", `"messages":[{"role":"user","content":"oi"},{"role":"assistant","audio":{"id":"audio_x"}}]`}},
	} {
		for _, c := range cases {
			a := s.do(http.MethodPost, c.path, s.key, `{"model":"gpt-4.1-nano",`+c.members+`}`)
			if seen(t, a, 400, "invalid_request_error", "", param); t.Failed() {
				t.Fatalf("%s", c.members)
			}
		}
	}
	if n := s.reached(); n != 0 {
		t.Errorf("%d calls reached the provider", n)
	}
	s.records(0)
	s.unheld()
}

// TestWhatOnlyLooksLikeAReferencePasses is of names that are the caller's, and of answers that are sent back.
func TestWhatOnlyLooksLikeAReferencePasses(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	for _, c := range []struct{ path, members string }{
		{"/responses", `"prompt":null,"tools":[],"input":"\"file_id\": \"file-x\", \"container\""`},
		{"/responses", `"input":[{"id":"msg_x","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"a","annotations":[{"type":"file_citation","file_id":"file-x"},{"type":"container_file_citation","container_id":"cntr_x"}]}]},{"role":"user","content":"b"}]`},
		{"/responses", `"input":[{"id":"rs_x","type":"reasoning","summary":[]},{"id":"fc_x","type":"function_call","call_id":"c","name":"f","arguments":"{\"file_id\":\"x\"}"},{"type":"function_call_output","call_id":"c","output":"{\"file_id\":\"x\"}"}]`},
		{"/responses", `"input":[{"type":"item_reference","id":"msg_x"},{"role":"user","content":"repita"}]`},
		{"/responses", `"input":[{"id":"ig_x","type":"image_generation_call","result":"QUJD"},{"id":"fs_x","type":"file_search_call","queries":[],"results":[{"file_id":"file-x"}]}]`},
		{"/responses", `"input":[{"role":"user","content":[{"type":"input_image","file_id":null,"image_url":"https://e.x/a.png"},{"type":"input_file","file_id":"","file_data":"QUJD"}]}]`},
		{"/responses", `"input":"oi","tools":[{"type":"function","name":"f","parameters":{"type":"object","default":{"file_id":"x"},"properties":{"file_id":{"type":"string"},"container":{"type":"string"}}}},{"type":"code_interpreter","container":{"type":"auto","file_ids":[]}}]`},
		{"/chat/completions", `"messages":[{"role":"assistant","audio":null,"tool_calls":[{"id":"call_x","type":"function","function":{"name":"f","arguments":"{\"file_id\":\"x\"}"}}]},{"role":"tool","tool_call_id":"call_x","content":"\"file_id\":\"x\""}]`},
		{"/chat/completions", `"messages":[{"role":"user","content":[{"type":"file","file":{"file_data":"QUJD","filename":"a.pdf"}}]}],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"file_id":{"type":"string"}}}}}]`},
		{"/embeddings", `"input":"\"file_id\""`},
	} {
		model := "gpt-4.1-nano"
		if c.path == "/embeddings" {
			model = "text-embedding-3-small"
		}
		before := s.reached()
		if a := s.do(http.MethodPost, c.path, s.key, `{"model":"`+model+`",`+c.members+`}`); s.reached() == before {
			t.Errorf("%s: %d %s", c.members, a.status, a.body)
		}
	}
}
