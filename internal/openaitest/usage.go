package openaitest

// Usage is what an answer cost. Cached and reasoning tokens are within prompt and completion tokens.
type Usage struct {
	PromptTokens, CachedTokens, CompletionTokens, ReasoningTokens int
}

// chatUsage is Usage as chat completions show it.
type chatUsage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	TotalTokens      int `json:"total_tokens"`
	PromptDetails    struct {
		CachedTokens     int `json:"cached_tokens"`
		CacheWriteTokens int `json:"cache_write_tokens"`
		AudioTokens      int `json:"audio_tokens"`
	} `json:"prompt_tokens_details"`
	CompletionDetails struct {
		ReasoningTokens          int `json:"reasoning_tokens"`
		AudioTokens              int `json:"audio_tokens"`
		AcceptedPredictionTokens int `json:"accepted_prediction_tokens"`
		RejectedPredictionTokens int `json:"rejected_prediction_tokens"`
	} `json:"completion_tokens_details"`
}

func (u Usage) chat() *chatUsage {
	c := &chatUsage{
		PromptTokens: u.PromptTokens, CompletionTokens: u.CompletionTokens, TotalTokens: u.PromptTokens + u.CompletionTokens,
	}
	c.PromptDetails.CachedTokens = u.CachedTokens
	c.CompletionDetails.ReasoningTokens = u.ReasoningTokens
	return c
}
