package routes

import (
	"fmt"

	"github.com/vishvananda/netlink"
)

// Watch sends when a link or a route of the namespace changes, until done is closed. Changes that come
// while one waits to be received are one with it. Events can get lost, so look from time to time as well.
func Watch(done <-chan struct{}) (<-chan struct{}, error) {
	links, routes := make(chan netlink.LinkUpdate), make(chan netlink.RouteUpdate)
	if err := netlink.LinkSubscribe(links, done); err != nil {
		return nil, fmt.Errorf("watching links: %w", err)
	}
	if err := netlink.RouteSubscribe(routes, done); err != nil {
		return nil, fmt.Errorf("watching routes: %w", err)
	}
	changed := make(chan struct{}, 1)
	go func() {
		for links != nil || routes != nil {
			select {
			case _, open := <-links:
				if !open {
					links = nil
					continue
				}
			case _, open := <-routes:
				if !open {
					routes = nil
					continue
				}
			}
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	}()
	return changed, nil
}
