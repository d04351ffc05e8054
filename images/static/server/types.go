package main

import (
	"io"
	"net/http"
	"path"
	"strings"
)

// types maps file endings to media types. It is ours and complete because the base image holds no /etc/mime.types, and
// because the same site must look the same everywhere.
var types = map[string]string{
	".aac": "audio/aac", ".apng": "image/apng", ".atom": "application/atom+xml", ".avif": "image/avif",
	".bmp": "image/bmp", ".br": "application/octet-stream", ".css": "text/css; charset=utf-8",
	".csv": "text/csv; charset=utf-8", ".eot": "application/vnd.ms-fontobject", ".epub": "application/epub+zip",
	".flac": "audio/flac", ".gif": "image/gif", ".glb": "model/gltf-binary", ".gz": "application/gzip",
	".htm": "text/html; charset=utf-8", ".html": "text/html; charset=utf-8", ".ico": "image/x-icon",
	".ics": "text/calendar; charset=utf-8", ".jpeg": "image/jpeg", ".jpg": "image/jpeg",
	".js": "text/javascript; charset=utf-8", ".json": "application/json", ".jsonld": "application/ld+json",
	".jxl": "image/jxl", ".m3u8": "application/vnd.apple.mpegurl", ".m4a": "audio/mp4",
	".map": "application/json", ".md": "text/markdown; charset=utf-8", ".mjs": "text/javascript; charset=utf-8",
	".mov": "video/quicktime", ".mp3": "audio/mpeg", ".mp4": "video/mp4", ".oga": "audio/ogg", ".ogg": "audio/ogg",
	".ogv": "video/ogg", ".opus": "audio/ogg", ".otf": "font/otf", ".pdf": "application/pdf", ".png": "image/png",
	".rss": "application/rss+xml", ".svg": "image/svg+xml", ".tar": "application/x-tar", ".tif": "image/tiff",
	".tiff": "image/tiff", ".ts": "video/mp2t", ".ttf": "font/ttf", ".txt": "text/plain; charset=utf-8",
	".vtt": "text/vtt; charset=utf-8", ".wasm": "application/wasm", ".wav": "audio/wav", ".webm": "video/webm",
	".webmanifest": "application/manifest+json", ".webp": "image/webp", ".woff": "font/woff", ".woff2": "font/woff2",
	".xhtml": "application/xhtml+xml", ".xml": "application/xml", ".yaml": "application/yaml",
	".yml": "application/yaml", ".zip": "application/zip", ".zst": "application/zstd",
}

// typeByName returns the media type a name's ending tells, or "".
func typeByName(name string) string {
	return types[strings.ToLower(path.Ext(name))]
}

// typeOf returns the media type of a file: by its name, else by its first bytes.
func (s *site) typeOf(name string) string {
	if t := typeByName(name); t != "" {
		return t
	}
	f, err := s.root.Open(name)
	if err != nil {
		return "application/octet-stream"
	}
	defer f.Close()
	var head [512]byte
	n, _ := io.ReadFull(f, head[:]) // a short file is sniffed by what it has
	return http.DetectContentType(head[:n])
}
