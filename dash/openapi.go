package dash

import (
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
)

// object is a piece of JSON.
type object = map[string]any

func (d *Dash) getOpenAPI(c *gin.Context) { c.JSON(http.StatusOK, d.openAPI()) }

// openAPI describes the API from the same table that serves it, so that the
// description cannot fall behind.
func (d *Dash) openAPI() object {
	s := schemas{}
	failure := s.of(reflect.TypeFor[api.ErrorBody]())
	paths := object{}
	for _, e := range d.endpoints() {
		path, names := openAPIPath(e.path)
		item, _ := paths[path].(object)
		if item == nil {
			item = object{}
			paths[path] = item
		}
		item[strings.ToLower(e.method)] = e.describe(s, names, failure)
	}
	return object{
		"openapi":    "3.0.3",
		"info":       object{"title": "dinp", "version": d.cfg.Version, "description": "The API of dinp, a platform for prebuilt web artifacts. Errors have one form everywhere; docs/errors.md explains each code."},
		"servers":    []any{object{"url": apiBase}},
		"security":   []any{object{"token": []any{}}},
		"paths":      paths,
		"components": object{"schemas": object(s), "securitySchemes": object{"token": object{"type": "http", "scheme": "bearer"}}},
	}
}

// openAPIPath turns gin's :name and *name into {name}.
func openAPIPath(path string) (string, []string) {
	var names []string
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if p != "" && (p[0] == ':' || p[0] == '*') {
			name := p[1:]
			parts[i] = "{" + name + "}"
			names = append(names, name)
		}
	}
	return strings.Join(parts, "/"), names
}

func (e endpoint) describe(s schemas, names []string, failure object) object {
	params := []any{}
	for _, n := range names {
		params = append(params, object{"name": n, "in": "path", "required": true, "schema": object{"type": "string"}})
	}
	for _, q := range e.query {
		params = append(params, object{"name": q.name, "in": "query", "description": q.text, "schema": object{"type": q.kind}})
	}
	if isWrite(e.method) && !e.rawBody && !e.open {
		params = append(params, object{"name": idempotencyHeader, "in": "header", "schema": object{"type": "string"}})
	}
	out := object{"summary": e.summary, "operationId": operationID(e), "parameters": params, "responses": e.responses(s, failure)}
	if e.open {
		out["security"] = []any{}
	}
	switch {
	case e.rawBody && e.media != "":
		out["requestBody"] = object{"required": true, "content": object{e.media: object{"schema": object{"type": "string", "format": "binary"}}}}
	case e.body != nil:
		out["requestBody"] = object{"content": object{"application/json": object{"schema": s.of(reflect.TypeOf(e.body))}}}
	}
	return out
}

func operationID(e endpoint) string {
	return strings.ToLower(e.method) + strings.NewReplacer("/:", "_by_", "/*", "_by_", "/", "_", ".", "_").Replace(e.path)
}

func (e endpoint) responses(s schemas, failure object) object {
	status := e.status
	if status == 0 {
		status = http.StatusOK
	}
	good := object{"description": http.StatusText(status)}
	media := "application/json"
	if e.media != "" && !e.rawBody {
		media = e.media
	}
	switch {
	case e.answer != nil:
		good["content"] = object{media: object{"schema": s.of(reflect.TypeOf(e.answer))}}
	case e.media != "" && !e.rawBody:
		good["content"] = object{media: object{"schema": object{"type": "string"}}}
	}
	return object{
		strconv.Itoa(status): good,
		"default":            object{"description": "refused or failed", "content": object{"application/json": object{"schema": failure}}},
	}
}

// schemas are the named types of the description, filled by of.
type schemas object

// of is the schema of a type; structs are named and referred to.
func (s schemas) of(t reflect.Type) object {
	switch t {
	case reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case reflect.TypeFor[model.Duration]():
		return object{"type": "string", "description": "a time span, as 30s"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.of(t.Elem())
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint64:
		return object{"type": "integer", "format": "int64"}
	case reflect.Float64:
		return object{"type": "number", "format": "double"}
	case reflect.Slice:
		return object{"type": "array", "items": s.of(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.of(t.Elem())}
	case reflect.Struct:
		return s.ofStruct(t)
	}
	return object{} // any
}

func (s schemas) ofStruct(t reflect.Type) object {
	name := schemaName(t)
	if _, ok := s[name]; !ok {
		s[name] = object{} // a type that holds itself must end here
		properties := object{}
		s.fields(t, properties)
		s[name] = object{"type": "object", "properties": properties}
	}
	return object{"$ref": "#/components/schemas/" + name}
}

// fields adds a struct's fields by their names in JSON, embedded ones too.
func (s schemas) fields(t reflect.Type, into object) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			s.fields(f.Type, into)
		case name != "-" && name != "" && f.IsExported():
			into[name] = s.of(f.Type)
		}
	}
}

// schemaName is a type's name: Page[…api.App] becomes AppPage.
func schemaName(t reflect.Type) string {
	name, arg, generic := strings.Cut(t.Name(), "[")
	if generic {
		arg = strings.TrimSuffix(arg, "]")
		return arg[strings.LastIndex(arg, ".")+1:] + name
	}
	return strings.ToUpper(name[:1]) + name[1:]
}
