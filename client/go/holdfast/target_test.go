package holdfast

import (
	"errors"
	"strings"
	"testing"
)

func variables(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func TestURIsNameServers(t *testing.T) {
	for uri, want := range map[string]target{
		"holdfast://localhost":      {uri: "holdfast://localhost:5600", host: "localhost", port: 5600, loopback: true},
		"holdfast://127.0.0.1:1/":   {uri: "holdfast://127.0.0.1:1", host: "127.0.0.1", port: 1, loopback: true},
		"HOLDFAST://[::1]:7":        {uri: "holdfast://[::1]:7", host: "::1", port: 7, loopback: true},
		"holdfast+tls://db.lan":     {uri: "holdfast+tls://db.lan:5600", host: "db.lan", port: 5600, tls: true},
		"unix:/tmp/holdfast.sock":   {uri: "unix:/tmp/holdfast.sock", socket: "/tmp/holdfast.sock", loopback: true},
		"unix:///tmp/holdfast.sock": {uri: "unix:/tmp/holdfast.sock", socket: "/tmp/holdfast.sock", loopback: true},
		"holdfast://db.lan:9?insecure=true": {
			uri: "holdfast://db.lan:9?insecure=true", host: "db.lan", port: 9,
		},
	} {
		found, err := parseTarget(uri, settings{}, variables())
		if err != nil || *found != want {
			t.Errorf("%s is %+v, %v", uri, found, err)
		}
	}
}

func TestOtherURIsAreRefusedWithTheWayOut(t *testing.T) {
	for uri, hint := range map[string]string{
		"":                                  "HOLDFAST_URI",
		"./.holdfast":                       "holdfast://host:port",
		"localhost:5600":                    "holdfast://localhost:5600",
		"http://localhost:5600":             "gRPC",
		"postgresql://user:pw@host/db":      "holdfast://host:port",
		"holdfast://":                       "names no host",
		"holdfast://ana:pw@localhost":       "HOLDFAST_TOKEN",
		"holdfast://localhost:99999":        "65535",
		"holdfast://localhost/data":         "after the port",
		"holdfast://localhost?retry=1":      "insecure",
		"holdfast://db.lan":                 "holdfast+tls://db.lan:5600",
		"holdfast://db.lan?insecure=no":     "holdfast+tls://db.lan:5600",
		"unix:":                             "names no socket",
		"unix:/" + strings.Repeat("a", 108): "107",
	} {
		_, err := parseTarget(uri, settings{}, variables())
		if !errors.Is(err, ErrInvalidArgument) || !strings.Contains(err.Error(), hint) {
			t.Errorf("%s: %v", uri, err)
		}
		if err != nil && strings.Contains(err.Error(), "pw") {
			t.Errorf("the error repeats a password: %v", err)
		}
	}
}

func TestSettingsComeFromTheEnvironmentUnlessTheyAreGiven(t *testing.T) {
	environment := variables(
		uriVariable, "holdfast+tls://db.lan", tokenVariable, " theirs\n", caFileVariable, "ca.crt",
		certFileVariable, "me.crt", keyFileVariable, "me.key",
	)
	found, err := parseTarget("", settings{}, environment)
	if err != nil || found.token != "theirs" || found.caFile != "ca.crt" || found.certFile != "me.crt" {
		t.Errorf("%+v, %v", found, err)
	}
	found, err = parseTarget("holdfast+tls://other", settings{token: "mine", caFile: "mine.crt"}, environment)
	if err != nil || found.host != "other" || found.token != "mine" || found.caFile != "mine.crt" {
		t.Errorf("%+v, %v", found, err)
	}
	for _, insecure := range []settings{{insecure: true}, {}} {
		found, err = parseTarget("holdfast://db.lan", insecure, variables(insecureVariable, "1"))
		if err != nil || found.tls {
			t.Errorf("%+v, %v", found, err)
		}
	}
}

func TestSettingsThatCannotBeAreRefused(t *testing.T) {
	for name, environment := range map[string]func(string) string{
		"a key without its certificate": variables(keyFileVariable, "me.key"),
		"a token of two lines":          variables(tokenVariable, "one\ntwo"),
	} {
		if _, err := parseTarget("holdfast+tls://db.lan", settings{}, environment); !errors.Is(err, ErrInvalidArgument) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := parseTarget("holdfast://db.lan", settings{}, variables(insecureVariable, "maybe"))
	if !errors.Is(err, ErrInvalidArgument) {
		t.Error(err)
	}
}
