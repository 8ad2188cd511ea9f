// Command load sends the JSON bodies of a file over TLS, on so many connections that are kept, and prints how many
// were answered and how fast. It takes little of the processor, so that the servers under test have it.
package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"sort"
	"sync"
	"sync/atomic"
	"time"
)

func main() {
	url := flag.String("url", "", "where to POST")
	ca := flag.String("ca", "", "PEM file of the authority")
	file := flag.String("bodies", "", "file of bodies, one a line")
	want := flag.String("want", "", "text that every answer holds")
	connections := flag.Int("connections", 1, "connections, each with one request under way")
	seconds := flag.Float64("seconds", 5, "how long to measure, after a tenth of it to warm up")
	flag.Parse()
	if err := run(*url, *ca, *file, *want, *connections, *seconds); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(url, ca, file, want string, connections int, seconds float64) error {
	bodies, err := lines(file)
	if err != nil {
		return err
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	measured := time.Duration(seconds * float64(time.Second))
	begin := time.Now().Add(measured / 10)
	end := begin.Add(measured)
	var next atomic.Int64
	var mutex sync.Mutex
	var latencies []float64
	var failure error
	var group sync.WaitGroup
	for range connections {
		group.Add(1)
		go func() {
			defer group.Done()
			transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, MaxIdleConnsPerHost: 1}
			client := &http.Client{Transport: transport, Timeout: 30 * time.Second}
			var own []float64
			for {
				started := time.Now()
				if started.After(end) {
					break
				}
				body := bodies[int(next.Add(1)-1)%len(bodies)]
				if err := post(client, url, body, want); err != nil {
					mutex.Lock()
					failure = err
					mutex.Unlock()
					return
				}
				if finished := time.Now(); started.After(begin) && finished.Before(end) {
					own = append(own, float64(finished.Sub(started).Microseconds())/1000)
				}
			}
			mutex.Lock()
			latencies = append(latencies, own...)
			mutex.Unlock()
		}()
	}
	group.Wait()
	if failure != nil {
		return failure
	}
	sort.Float64s(latencies)
	at := func(share float64) float64 { return latencies[int(share*float64(len(latencies)-1))] }
	return json.NewEncoder(os.Stdout).Encode(map[string]float64{
		"requests": float64(len(latencies)), "perSecond": float64(len(latencies)) / seconds,
		"p50ms": at(0.50), "p99ms": at(0.99),
	})
}

func post(client *http.Client, url string, body []byte, want string) error {
	answer, err := client.Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK || !bytes.Contains(content, []byte(want)) {
		return fmt.Errorf("HTTP %d without %q: %.300s", answer.StatusCode, want, content)
	}
	return nil
}

func lines(file string) ([][]byte, error) {
	opened, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	var found [][]byte
	scanner := bufio.NewScanner(opened)
	scanner.Buffer(nil, 16<<20)
	for scanner.Scan() {
		found = append(found, append([]byte(nil), scanner.Bytes()...))
	}
	if len(found) == 0 && scanner.Err() == nil {
		return nil, fmt.Errorf("%s is empty", file)
	}
	return found, scanner.Err()
}
