package dash_test

import (
	"strings"
	"testing"

	"github.com/dinp/dinp/test/stage"
)

func TestPages_RoutingIsSavedAsAWhole(t *testing.T) {
	t.Parallel()
	v := visit(t, stage.Open(t)).login()
	v.deployed("shop", "one")
	v.get("/apps/shop/routing").want(t, "routing", 200, `name="rate"`, "<option selected>least</option>")
	v.post("/apps/shop/routing", "policy", "round_robin", "rate", "100:500", "https_redirect", "on", "redirects", "/a /b 301\r\n/c/* /d/*\r\n", "new_user", "ann", "new_password", "sesame-1").
		sends(v, "save", "/apps/shop/routing", "Routing settings of shop saved", `value="100:500"`, "<option selected>round_robin</option>", "/c/* /d/*", `value="ann"`)
	if strings.Contains(v.get("/apps/shop/routing").body, "sesame") {
		t.Error("the password is on the page")
	}
	v.post("/apps/shop/routing", "rate", "fast").want(t, "a rate that is none", 400, "D170", `value="fast"`)
	v.post("/apps/shop/routing", "new_user", "bob").want(t, "a user without a password", 400, "The password of bob is missing", `value="bob"`)
	v.post("/apps/shop/routing", "basic_auth", "ann", "generation", "1").want(t, "an edit of an old page", 412, "D105")
	v.post("/apps/shop/routing", "basic_auth", "ann").sends(v, "all but the user taken back", "/apps/shop/routing", `value="ann"`, "<option selected>least</option>")
}
