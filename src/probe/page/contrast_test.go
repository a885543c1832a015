package page_test

import (
	"math"
	"regexp"
	"strconv"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/probe/page"
)

// luminance is that of a colour such as #1f5fbf, and contrast that of two, as WCAG 2.2 defines them.
func luminance(colour string) float64 {
	GinkgoHelper()
	if len(colour) == len("#fff") {
		colour = "#" + colour[1:2] + colour[1:2] + colour[2:3] + colour[2:3] + colour[3:] + colour[3:]
	}
	part := func(from int) float64 {
		n, err := strconv.ParseUint(colour[from:from+2], 16, 8)
		Expect(err).NotTo(HaveOccurred())
		c := float64(n) / 255
		if c <= 0.04045 {
			return c / 12.92
		}
		return math.Pow((c+0.055)/1.055, 2.4)
	}
	return 0.2126*part(1) + 0.7152*part(3) + 0.0722*part(5)
}

func contrast(a, b string) float64 {
	GinkgoHelper()
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

var _ = It("The page can be read by day and by night by who sees little: text has a contrast of 4.5, drawings of 3", func() {
	schemes := regexp.MustCompile(`(?s):root \{(.*?)\}`).FindAllStringSubmatch(draw(up(), page.Options{}), -1)
	Expect(schemes).To(HaveLen(2))
	for _, scheme := range schemes {
		colour := map[string]string{}
		for _, c := range regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]+);`).FindAllStringSubmatch(scheme[1], -1) {
			colour[c[1]] = c[2]
		}
		for _, behind := range []string{"paper", "card", "bad-tint"} {
			for _, text := range []string{"ink", "soft"} {
				Expect(contrast(colour[text], colour[behind])).To(BeNumerically(">=", 4.5), text+" on "+behind)
			}
		}
		Expect(contrast(colour["accent"], colour["card"])).To(BeNumerically(">=", 4.5))
		for _, state := range []string{"good", "idle", "fair", "bad", "unsure"} {
			Expect(contrast(colour[state], colour[state+"-tint"])).To(BeNumerically(">=", 4.5), state)
			Expect(contrast(colour[state], colour["none"])).To(BeNumerically(">=", 3), state)
		}
	}
})
