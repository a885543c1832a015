package cfapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/cloudfoundry/go-cfclient/v3/resource"
)

// Error is the API's refusal of a request.
type Error struct {
	Method, Path string
	// Status is the HTTP status code.
	Status int
	// Details are the API's own words, if it found some.
	Details string
}

// Error names the request and what the API said of it.
func (e *Error) Error() string {
	text := fmt.Sprintf("the API answered %s %s with %d %s", e.Method, e.Path, e.Status, http.StatusText(e.Status))
	if e.Details != "" {
		text += ": " + e.Details
	}
	return text
}

// StatusOf is the HTTP status with which the API refused, or 0 for any other error and none.
func StatusOf(err error) int {
	var refused *Error
	if errors.As(err, &refused) {
		return refused.Status
	}
	return 0
}

func refusal(method, path string, status int, body []byte) error {
	// A proxy before the API answers with a page, which helps nobody.
	var answer resource.CloudFoundryErrors
	_ = json.Unmarshal(body, &answer)
	return &Error{Method: method, Path: path, Status: status, Details: details(answer.Errors)}
}

func details(found []resource.CloudFoundryError) string {
	texts := make([]string, len(found))
	for i, e := range found {
		texts[i] = fmt.Sprintf("%s (%s)", e.Detail, e.Title)
	}
	return strings.Join(texts, "; ")
}
