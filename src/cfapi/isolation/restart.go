package isolation

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/cloudfoundry/go-cfclient/v3/resource"

	"privnet/cfapi"
)

const (
	rolling = "rolling"
	// restartInterval is how often a restart is looked at.
	restartInterval = 5 * time.Second
	// maxFailures is how many apps in a row may fail to restart before the cells, not the apps, are
	// thought to be the reason.
	maxFailures = 3

	deploymentActive    = "ACTIVE"
	deploymentFinalized = "FINALIZED"
	deploymentDeployed  = "DEPLOYED"
)

// restartAll restarts one app after the other. An app that fails does not keep the others.
func (r *run) restartAll(ctx context.Context, moves []move) error {
	var failed []error
	inARow := 0
	for _, m := range moves {
		if r.restarted[m.app.guid] {
			return fmt.Errorf("%s was restarted, and still runs on %s", m.app, m.from)
		}
		r.restarted[m.app.guid] = true
		err := r.restart(ctx, m)
		if err == nil {
			inARow = 0
			continue
		}
		if ctx.Err() != nil {
			return err
		}
		r.say("failed: %v", err)
		failed = append(failed, err)
		if inARow++; inARow == maxFailures && len(failed) < len(moves) {
			failed = append(failed, fmt.Errorf("%d apps in a row did not restart; the others were left alone: do the segment's cells have room?", maxFailures))
			break
		}
	}
	return errors.Join(failed...)
}

// restart moves an app by starting it anew. CF rolls web processes only, and only where one runs; its
// deployments restart the others at their end. An app of which no web instance runs is restarted at once.
func (r *run) restart(ctx context.Context, m move) error {
	end := r.clock.Now().Add(r.config.RestartTimeout)
	if m.app.serving {
		r.say("restart %s, rolling, away from %s", m.app, m.from)
		if err := r.roll(ctx, m.app, end); err != nil {
			return fmt.Errorf("restarting %s: %w", m.app, err)
		}
	} else {
		r.say("restart %s, of which no web instance runs, away from %s", m.app, m.from)
		if err := r.client.Post(ctx, "/v3/apps/"+m.app.guid+"/actions/restart", nil, nil); err != nil {
			return fmt.Errorf("restarting %s: %w", m.app, err)
		}
	}
	// Diego stops what ran before in its own time.
	for {
		now, err := r.placeNow(ctx, m.app)
		if err != nil {
			return err
		}
		from, wrong := now.elsewhere(r.config.Name())
		if r.config.Remove {
			from, wrong = m.from, now.in(r.config.Name())
		}
		if !wrong {
			return nil
		}
		if r.clock.Now().After(end) {
			return fmt.Errorf("restarting %s: after %s it still runs on %s", m.app, r.config.RestartTimeout, from)
		}
		if err := r.clock.Sleep(ctx, restartInterval); err != nil {
			return err
		}
	}
}

// roll replaces the instances one by one, and takes that back if it does not end in time.
func (r *run) roll(ctx context.Context, a app, end time.Time) error {
	active, err := cfapi.List[*resource.Deployment](ctx, r.client, "/v3/deployments",
		url.Values{"app_guids": {a.guid}, "status_values": {deploymentActive}})
	if err != nil {
		return fmt.Errorf("looking for deployments: %w", err)
	}
	if len(active) > 0 {
		return errors.New("a deployment of it is going on, which another one would supersede; let it end and run the errand again")
	}
	request := resource.NewDeploymentCreate(a.guid)
	request.Strategy = rolling
	var deployment resource.Deployment
	if err := r.client.Post(ctx, "/v3/deployments", request, &deployment); err != nil {
		return fmt.Errorf("creating the deployment: %w", err)
	}
	for {
		switch status := deployment.Status; {
		case status.Value == deploymentFinalized && status.Reason == deploymentDeployed:
			return nil
		case status.Value == deploymentFinalized:
			return fmt.Errorf("its deployment ended as %s", status.Reason)
		case r.clock.Now().After(end):
			return r.cancel(ctx, deployment)
		}
		if err := r.clock.Sleep(ctx, restartInterval); err != nil {
			return err
		}
		if err := r.client.Get(ctx, "/v3/deployments/"+deployment.GUID, &deployment); err != nil {
			return fmt.Errorf("asking for the deployment: %w", err)
		}
	}
}

// cancel lets the app go on as it was before.
func (r *run) cancel(ctx context.Context, deployment resource.Deployment) error {
	late := fmt.Errorf("it did not come up within %s (%s)", r.config.RestartTimeout, deployment.Status.Reason)
	err := r.client.Post(ctx, "/v3/deployments/"+deployment.GUID+"/actions/cancel", nil, nil)
	switch {
	case err == nil:
		return fmt.Errorf("%w; the deployment was cancelled, and the app runs where it ran", late)
	case cfapi.StatusOf(err) == http.StatusUnprocessableEntity:
		return fmt.Errorf("%w; its deployment ended just then, so run the errand again", late)
	default:
		return errors.Join(late, fmt.Errorf("cancelling the deployment: %w", err))
	}
}
