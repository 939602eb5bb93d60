package main

import (
	"encoding/json"
	"math"
	"strconv"
)

// value is a metric's: a number, or the name of what JSON has no number for.
type value float64

func (v value) MarshalJSON() ([]byte, error) {
	switch number := float64(v); {
	case math.IsNaN(number):
		return json.Marshal("NaN")
	case math.IsInf(number, 1):
		return json.Marshal("Infinity")
	case math.IsInf(number, -1):
		return json.Marshal("-Infinity")
	default:
		return json.Marshal(number)
	}
}

func (v *value) UnmarshalJSON(text []byte) error {
	if text[0] != '"' {
		return json.Unmarshal(text, (*float64)(v))
	}
	var name string
	if err := json.Unmarshal(text, &name); err != nil {
		return err
	}
	number, err := strconv.ParseFloat(name, 64)
	*v = value(number)
	return err
}

// number is a version, which travels as a string.
type number int64

func (n number) MarshalJSON() ([]byte, error) { return json.Marshal(strconv.FormatInt(int64(n), 10)) }

func (n *number) UnmarshalJSON(text []byte) error {
	var digits string
	if err := json.Unmarshal(text, &digits); err != nil {
		return err
	}
	parsed, err := strconv.ParseInt(digits, 10, 64)
	*n = number(parsed)
	return err
}
