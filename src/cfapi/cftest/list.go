package cftest

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// maxPerPage is the API's own limit.
const maxPerPage = 5000

// row is one resource of a list: how it is shown, and what it is found by.
type row struct {
	shown map[string]any
	by    map[string][]string
}

// list answers with a page of the rows that match the filters. An unknown filter is an error.
func (s *Server) list(r *http.Request, rows []row, filters ...string) answer {
	query := r.URL.Query()
	page, perPage := 1, 50
	for name, values := range query {
		value := strings.Join(values, ",")
		switch {
		case name == "page" || name == "per_page":
			number, err := strconv.Atoi(value)
			if err != nil || number < 1 || (name == "per_page" && number > maxPerPage) {
				return failure(http.StatusBadRequest, 10005, "CF-BadQueryParameter", "The query parameter is invalid: "+name)
			}
			if name == "page" {
				page = number
			} else {
				perPage = number
			}
		case slices.Contains(filters, name):
			wanted := strings.Split(value, ",")
			for i := range wanted {
				wanted[i], _ = url.PathUnescape(wanted[i])
			}
			rows = slices.DeleteFunc(slices.Clone(rows), func(one row) bool {
				// A database may or may not care for case: this one does not.
				return !slices.ContainsFunc(one.by[name], func(is string) bool { return slices.ContainsFunc(wanted, fold(is)) })
			})
		default:
			return failure(http.StatusBadRequest, 10005, "CF-BadQueryParameter", fmt.Sprintf("The query parameter is invalid: Unknown query parameter(s): '%s'", name))
		}
	}
	total := len(rows)
	pages := max(1, (total+perPage-1)/perPage)
	link := func(number int) any {
		if number < 1 || number > pages {
			return nil
		}
		next := url.Values{}
		for name, values := range query {
			next[name] = values
		}
		next.Set("page", strconv.Itoa(number))
		return map[string]any{"href": s.URL + r.URL.Path + "?" + next.Encode()}
	}
	from := min((page-1)*perPage, total)
	resources := []any{}
	for _, one := range rows[from:min(from+perPage, total)] {
		resources = append(resources, one.shown)
	}
	return ok(map[string]any{
		"pagination": map[string]any{
			"total_results": total, "total_pages": pages,
			"first": link(1), "last": link(pages), "next": link(page + 1), "previous": link(page - 1),
		},
		"resources": resources,
	})
}
