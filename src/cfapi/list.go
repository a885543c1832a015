package cfapi

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strconv"

	"github.com/cloudfoundry/go-cfclient/v3/resource"
)

// maxReadings is how often a list is read that changes while it is read.
const maxReadings = 5

// List reads all pages of a list. Where a resource goes away between two pages the next page begins one
// too late, and one is missed: so a list whose length changed meanwhile is read again.
func List[T any](ctx context.Context, c *Client, path string, query url.Values) ([]T, error) {
	for range maxReadings {
		items, whole, err := read[T](ctx, c, path, query)
		if err != nil {
			return nil, err
		}
		if whole {
			return items, nil
		}
	}
	return nil, fmt.Errorf("reading %s: it changed on each of %d readings", path, maxReadings)
}

// Filter is a name as a list's filter takes it: the API splits the filter at commas, and only then decodes
// each of the values once more.
func Filter(name string) string { return url.PathEscape(name) }

// read reads the pages once; whole says whether they were of one length.
func read[T any](ctx context.Context, c *Client, path string, query url.Values) (items []T, whole bool, err error) {
	total := -1
	for page, pages := 1, 1; page <= pages; page++ {
		asked := maps.Clone(query)
		if asked == nil {
			asked = url.Values{}
		}
		asked.Set("page", strconv.Itoa(page))
		asked.Set("per_page", strconv.Itoa(pageSize))
		var answer struct {
			Pagination resource.Pagination `json:"pagination"`
			Resources  []T                 `json:"resources"`
		}
		if _, err := c.do(ctx, http.MethodGet, path, asked, nil, &answer); err != nil {
			return nil, false, err
		}
		if total >= 0 && answer.Pagination.TotalResults != total {
			return nil, false, nil
		}
		total, pages = answer.Pagination.TotalResults, answer.Pagination.TotalPages
		items = append(items, answer.Resources...)
	}
	return items, len(items) == total, nil
}
