//go:build ignore

// Command vocabgen writes ranks/*.bin: each token of a vocabulary in rank order, as one byte of length and its bytes.
package main

import (
	"bytes"
	"log"
	"os"

	"github.com/tiktoken-go/tokenizer"
)

func main() {
	for encoding, size := range map[tokenizer.Encoding]uint{tokenizer.O200kBase: 199_998, tokenizer.Cl100kBase: 100_256} {
		codec, err := tokenizer.Get(encoding)
		if err != nil {
			log.Fatal(err)
		}
		var file bytes.Buffer
		for rank := range size {
			token, err := codec.Decode([]uint{rank})
			if err != nil || len(token) > 255 {
				log.Fatalf("%s: rank %d: %d bytes, %v", encoding, rank, len(token), err)
			}
			file.WriteByte(byte(len(token)))
			file.WriteString(token)
		}
		if err := os.WriteFile("ranks/"+string(encoding)+".bin", file.Bytes(), 0o644); err != nil {
			log.Fatal(err)
		}
	}
}
