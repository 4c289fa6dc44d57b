// net/http of Go: `go run client.go URL KEY SIZE`; prints what it got as JSON.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
)

func ask(key, text string) int {
	body, _ := json.Marshal(map[string][]string{"texts": {text}})
	request, err := http.NewRequest("POST", os.Args[1]+"/v1/classify", strings.NewReader(string(body)))
	if err != nil {
		panic(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+key)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		panic(err)
	}
	defer response.Body.Close()
	io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

func main() {
	key := os.Args[2]
	size, _ := strconv.Atoi(os.Args[3])
	large := strings.Repeat("x", size)
	found := map[string]any{
		"small":        []int{ask(key, "good film"), ask(key, "good film"), ask(key, "good film")},
		"large":        ask(key, large),
		"unauthorized": ask("another", large),
		"after":        ask(key, "good film"),
	}
	said, _ := json.Marshal(found)
	fmt.Println(string(said))
}
