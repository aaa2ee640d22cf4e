package openaitest

import "fmt"

// apiError is an error in OpenAI's form. An empty kind means invalid_request_error; an empty param or code is null.
type apiError struct {
	status      int
	message     string
	kind        string
	param, code string
	azure       bool // in Azure's form: a code and a message only
}

// errorBody is {"error": {…}}, all four keys always there.
type errorBody struct {
	Error struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    *string `json:"code"`
	} `json:"error"`
}

func (e *apiError) body() any {
	if e.azure {
		return map[string]any{"error": map[string]string{"code": e.code, "message": e.message}}
	}
	var b errorBody
	b.Error.Message, b.Error.Type = e.message, e.kind
	if e.kind == "" {
		b.Error.Type = "invalid_request_error"
	}
	if e.param != "" {
		b.Error.Param = &e.param
	}
	if e.code != "" {
		b.Error.Code = &e.code
	}
	return b
}

// fail answers an error.
func (c *call) fail(e *apiError) {
	c.count.refuse(e.status)
	c.head("application/json")
	c.ctx.SetStatusCode(e.status)
	c.ctx.Response.SetBodyRaw(indented(e.body()))
}

// errorOf is what OpenAI says with a status.
func errorOf(status int) *apiError {
	switch status {
	case 401:
		return &apiError{status: status, message: "Incorrect API key provided.", code: "invalid_api_key"}
	case 403:
		return &apiError{status: status, message: "You are not allowed to do this.", code: "permission_denied"}
	case 404:
		return &apiError{status: status, message: "The model does not exist or you do not have access to it.", code: "model_not_found"}
	case 429:
		return &apiError{status: status, message: "Rate limit reached. Please try again in 20ms.", kind: "requests", code: "rate_limit_exceeded"}
	case 503:
		return &apiError{status: status, message: "The engine is currently overloaded, please try again later.", kind: "service_unavailable_error", code: "server_is_overloaded"}
	}
	if status >= 500 {
		e := serverError()
		e.status = status
		return e
	}
	return &apiError{status: status, message: fmt.Sprintf("The request failed with status %d.", status)}
}

func serverError() *apiError {
	return &apiError{status: 500, kind: "server_error",
		message: "The server had an error while processing your request. Sorry about that!"}
}

// The errors of a request's fields, in OpenAI's words.

func missing(param string) *apiError {
	return &apiError{status: 400, message: fmt.Sprintf("Missing required parameter: '%s'.", param), param: param, code: "missing_required_parameter"}
}

func wrongType(param, want, got string) *apiError {
	return &apiError{status: 400, param: param, code: "invalid_type",
		message: fmt.Sprintf("Invalid type for '%s': expected %s, but got %s instead.", param, want, got)}
}

func invalid(param, message string) *apiError {
	return &apiError{status: 400, message: message, param: param, code: "invalid_value"}
}
