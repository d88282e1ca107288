package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// cluster is one cluster on loopback: port is the API server's, the five after it are the others'.
type cluster struct {
	state string
	port  int
	nodes int
	input bool
}

// newUpCommand runs a whole cluster until it is interrupted.
func newUpCommand() *cobra.Command {
	var c cluster
	command := &cobra.Command{
		Use:           "up",
		Short:         "run a cluster until interrupted",
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(*cobra.Command, []string) error {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			if c.input {
				go func() {
					_, _ = io.Copy(io.Discard, os.Stdin)
					stop()
				}()
			}
			return c.up(ctx)
		},
	}
	command.Flags().StringVar(&c.state, "state", "state", "a directory for data, logs, and the kubeconfig of each user")
	command.Flags().IntVar(&c.port, "port", 6443, "the API server's port; the five after it are used too")
	command.Flags().IntVar(&c.nodes, "nodes", 3, "simulated nodes")
	command.Flags().BoolVar(&c.input, "until-input-ends", false, "stop when standard input closes: when whoever holds the other end is gone")
	return command
}

func (c *cluster) up(ctx context.Context) error {
	runtime.LockOSThread() // a child's death signal follows the thread that started it
	if err := os.MkdirAll(c.state, 0o755); err != nil {
		return err
	}
	authority, err := c.writeCredentials()
	if err != nil {
		return err
	}
	admin := c.path("admin.kubeconfig")
	etcd := fmt.Sprintf("http://127.0.0.1:%d", c.port+1)
	failed := make(chan error, 5)
	start := func(name string, flags ...string) error { return c.start(ctx, failed, name, flags...) }

	if err := start("etcd", "--data-dir", c.path("etcd"), "--listen-client-urls", etcd,
		"--listen-peer-urls", fmt.Sprintf("http://127.0.0.1:%d", c.port+2)); err != nil {
		return err
	}
	if err := waitUntil(ctx, failed, func() bool { return answers(http.DefaultClient, etcd+"/readyz") }); err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	if err := start("kube-apiserver",
		"--etcd-servers", etcd, "--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", c.port),
		"--tls-cert-file", c.path("server.crt"), "--tls-private-key-file", c.path("server.key"),
		"--client-ca-file", c.path("ca.crt"),
		"--requestheader-client-ca-file", c.path("ca.crt"), "--requestheader-allowed-names=front-proxy",
		"--token-auth-file", c.path("tokens.csv"), "--authorization-mode=RBAC",
		"--service-account-key-file", c.path("accounts.pub"), "--service-account-signing-key-file", c.path("accounts.key"),
		"--service-account-issuer=https://kubernetes.default.svc", "--service-cluster-ip-range=10.96.0.0/16",
		"--endpoint-reconciler-type=none", "--allow-privileged"); err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AddCert(authority)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	server := fmt.Sprintf("https://127.0.0.1:%d", c.port)
	if err := waitUntil(ctx, failed, func() bool { return answers(client, server+"/readyz") }); err != nil {
		return fmt.Errorf("kube-apiserver: %w", err)
	}
	secure := func(name string, port int, flags ...string) error {
		return start(name, append([]string{
			"--kubeconfig", admin, "--authentication-kubeconfig", admin, "--authorization-kubeconfig", admin,
			"--leader-elect=false", "--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", port),
			"--cert-dir", c.path(name), "--kube-api-qps=500", "--kube-api-burst=1000"}, flags...)...)
	}
	if err := errors.Join(
		secure("kube-controller-manager", c.port+3, "--service-account-private-key-file", c.path("accounts.key"),
			"--root-ca-file", c.path("ca.crt"), "--controllers=*", "--enable-hostpath-provisioner"),
		secure("kube-scheduler", c.port+4),
		writeStages(c.path("stages.yaml")),
		start("kwok", "--config", c.path("stages.yaml"), "--kubeconfig", admin, "--manage-all-nodes=true",
			"--node-lease-duration-seconds=40", fmt.Sprintf("--server-address=127.0.0.1:%d", c.port+5)),
		c.addNodes(),
	); err != nil {
		return err
	}
	if err := waitUntil(ctx, failed, c.settled); err != nil {
		return err
	}
	fmt.Println("ready", admin)
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	}
}

// start runs one component as a child that dies with this process, and reports its early end on failed.
func (c *cluster) start(ctx context.Context, failed chan<- error, name string, flags ...string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	log, err := os.Create(c.path(name + ".log"))
	if err != nil {
		return err
	}
	child := exec.CommandContext(ctx, self, append([]string{name}, flags...)...)
	child.Stdout, child.Stderr = log, log
	child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := child.Start(); err != nil {
		return err
	}
	go func() {
		err := child.Wait()
		if ctx.Err() == nil {
			failed <- fmt.Errorf("%s ended (%v); see %s", name, err, log.Name())
		}
	}()
	return nil
}

func (c *cluster) path(name string) string {
	absolute, err := filepath.Abs(filepath.Join(c.state, name))
	if err != nil {
		panic(err)
	}
	return absolute
}

// waitUntil polls for a minute, and gives up at once when a component has ended.
func waitUntil(ctx context.Context, failed <-chan error, done func() bool) error {
	deadline := time.After(time.Minute)
	for !done() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-failed:
			return err
		case <-deadline:
			return errors.New("not ready after a minute")
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

func answers(client *http.Client, url string) bool {
	response, err := client.Get(url)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode == http.StatusOK
}
