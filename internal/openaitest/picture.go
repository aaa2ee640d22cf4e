package openaitest

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"strconv"
	"strings"
)

// The image tokens of OpenAI's guide to image generation. An image made costs by its shape and quality, one given by the tiles
// of 512 pixels it covers once its shorter side has been brought down to that.
const (
	partialImageTokens = 100
	inputImageBase     = 65
	inputImageTile     = 129
	tileSide           = 512
)

// maxSide bounds the images that are really drawn.
const maxSide = 4_096

// sizeOf reads a size such as 1024x1536; auto is a square.
func sizeOf(size string) (width, height int, ok bool) {
	if size == "auto" {
		return 1_024, 1_024, true
	}
	w, h, found := strings.Cut(size, "x")
	width, errWidth := strconv.Atoi(w)
	height, errHeight := strconv.Atoi(h)
	return width, height, found && errWidth == nil && errHeight == nil && min(width, height) >= 16 && max(width, height) <= maxSide
}

// outputImageTokens is what one image costs that is made.
func outputImageTokens(width, height int, quality string) int {
	shape := 0 // square, portrait, landscape
	switch {
	case height > width:
		shape = 1
	case width > height:
		shape = 2
	}
	switch quality {
	case "low":
		return [...]int{272, 408, 400}[shape]
	case "medium":
		return [...]int{1_056, 1_584, 1_568}[shape]
	}
	return [...]int{4_160, 6_240, 6_208}[shape]
}

// inputImageTokens is what one image costs that is given; what cannot be read counts as one tile.
func inputImageTokens(content []byte) int {
	config, _, err := image.DecodeConfig(bytes.NewReader(content))
	if err != nil || config.Width < 1 || config.Height < 1 {
		return inputImageBase + inputImageTile
	}
	width, height := config.Width, config.Height
	if shorter := min(width, height); shorter > tileSide {
		width, height = width*tileSide/shorter, height*tileSide/shorter
	}
	tiles := ((width + tileSide - 1) / tileSide) * ((height + tileSide - 1) / tileSide)
	return inputImageBase + inputImageTile*tiles
}

// picture draws an image of one colour, which makes its file small. WebP cannot be written here: a PNG stands in.
func picture(format string, width, height int, seed uint64) []byte {
	colour := color.RGBA{byte(seed), byte(seed >> 8), byte(seed >> 16), 255}
	canvas := image.NewPaletted(image.Rect(0, 0, width, height), color.Palette{colour})
	var b bytes.Buffer
	var err error
	if format == "jpeg" {
		err = jpeg.Encode(&b, canvas, &jpeg.Options{Quality: 50})
	} else {
		err = (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b, canvas)
	}
	if err != nil {
		panic(fmt.Sprint("draw: ", err)) // into memory
	}
	return b.Bytes()
}
